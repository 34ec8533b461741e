"""The block with the credentials of the database."""

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect_sqlalchemy import ConnectionComponents, SqlAlchemyConnector  # type: ignore[import-untyped]
from sqlalchemy import URL

from blocks.database import to_connector
from sivera.database import parse_url
from sivera.errors import ConfigurationError


def components(url: str) -> ConnectionComponents:
    connector = to_connector(url)
    assert isinstance(connector, SqlAlchemyConnector)
    assert isinstance(connector.connection_info, ConnectionComponents)
    return connector.connection_info


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg", "postgresql+asyncpg"])
def test_keeps_each_part_of_a_url_in_a_field_of_its_own(scheme: str) -> None:
    info = components(f"{scheme}://ana:p%40ss@db.example.com:5433/sivera?sslmode=verify-full&sslrootcert=system")
    assert info.password.get_secret_value() == "p@ss"
    assert info.create_url() == URL.create(
        "postgresql+psycopg",
        "ana",
        "p@ss",
        "db.example.com",
        5433,
        "sivera",
        {"sslmode": "verify-full", "sslrootcert": "system"},
    )


def test_keeps_the_folder_of_a_unix_socket() -> None:
    url = components("postgresql://ana@/sivera?host=/run/postgresql").create_url()
    assert url == URL.create("postgresql+psycopg", "ana", database="sivera", query={"host": "/run/postgresql"})


@settings(max_examples=20)
@given(password=st.text(min_size=1, max_size=40).filter(str.isprintable))
def test_any_password_is_kept_as_it_is(password: str) -> None:
    url = URL.create("postgresql", username="ana", password=password, host="h", database="sivera")
    assert components(url.render_as_string(hide_password=False)).create_url().password == password


@given(password=st.text("a@:/?#[]%,&= ü", min_size=1, max_size=9))
def test_a_password_that_is_not_percent_encoded_is_kept_whole_or_refused(password: str) -> None:
    try:
        url = parse_url(f"postgresql://ana:{password}@127.0.0.1/sivera")
    except ConfigurationError as error:
        assert "@" in password
        assert "percent-encode special characters" in str(error)  # noqa: PT017
    else:
        assert url == URL.create(url.drivername, "ana", unquote(password), "127.0.0.1", None, "sivera")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("hidden", "the database URL cannot be read"),
        ("mysql://ana:hidden@h/sivera", "the database URL is for 'mysql'"),
        ("postgresql://ana:hidden@h", "the database URL has no database name"),
        ("postgresql://ana@h/sivera?password=hidden", "the database URL has 'password' among its options"),
        ("postgresql://ana@h/sivera?sslpassword=hidden", "the database URL has 'sslpassword' among its options"),
        (
            "postgresql://ana:hidden@h/a?sslmode=a&sslmode=b",
            "the database URL gives the option 'sslmode' more than once",
        ),
        ("postgresql://ana:hidden@h/sivera?sslmod=require", "the database URL has the option 'sslmod', which"),
        ("postgresql://ana:hidden@h/sivera?autocommit=1", "the database URL has the option 'autocommit', which"),
        *(
            (f"postgresql://ana:hidden@h/sivera?{name}=ca.crt", f"the database URL has a relative path in '{name}'")
            for name in ("passfile", "sslcert", "sslcrl", "sslcrldir", "sslkey", "sslrootcert")
        ),
        ("postgresql://ana:x@hidden@h/sivera", "the database URL cannot be read"),
        ("postgresql://ana:hidden@h/sivera?port=abc", "the database URL has a port that is not a number"),
        ("postgresql://ana:hidden@h,h/sivera?port=1,2,3", "the database URL has a port that is not a number"),
        ("postgresql://an/a:hidden@h/sivera", "the database URL cannot be read"),
        ("postgresql://ana:hidden@h:x/sivera", "the database URL cannot be read"),
        ("postgresql://ana:hidden%00@h/sivera", "the database URL cannot be read"),
    ],
)
def test_refuses_a_url_and_says_why_without_showing_it(url: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        to_connector(url)
    assert str(caught.value).startswith(sentence)
    assert "hidden" not in str(caught.value)
