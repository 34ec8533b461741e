"""Access to PostgreSQL: URLs, engines and checks."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from select import POLLIN, poll
from typing import Any
from urllib.parse import unquote

import psycopg
from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import ArgumentError, InvalidatePoolError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from sivera.database_errors import POOL_REFUSAL, explain, place_of, read_only, sentence
from sivera.errors import ConfigurationError

STATEMENT_TIMEOUT_SECONDS = 60
SECRET_OPTIONS = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
"""Options of libpq that stay readable where a URL is shown with its password hidden."""
PATH_OPTIONS = frozenset({"passfile", "sslcert", "sslcrl", "sslcrldir", "sslkey", "sslrootcert"})
"""Options of libpq that name a file or a folder."""
VERSION_TABLE = "sivera_alembic_version"
"""Not Alembic's default: a web application may use that in the same database."""

FORM = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
URL_PARTS = re.compile(
    r"(?P<scheme>[a-z]+)(?:\+\w+)?://(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<hosts>[^/?@]*)(?:/(?P<database>[^?@]*))?(?:\?(?P<query>[^@]*))?",
    re.IGNORECASE,
)
"""An @ ends the password and must not occur elsewhere: what follows a second one would be shown as the host."""
HOST = re.compile(r"(?:\[(?P<v6>[\w.:%]+)\]|(?P<name>[\w.%-]*))(?::(?P<port>\d{1,5})?)?")

DEFAULTS = {
    "connect_timeout": 5,
    "client_encoding": "utf8",
    # So that a lost server is noticed within half a minute.
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 30_000,
    "application_name": "sivera-jobs",
}
"""Options of libpq that the URL can override."""

STYLES = {"timezone": "UTC", "datestyle": "ISO", "intervalstyle": "postgres"}
"""How a session writes times. psycopg reads no others, and the role or the database may set others."""

PROBE = "sivera.direct"
"""A setting that we send with a connection. A pool that drops it also drops our other settings."""


def parse_url(url: URL | str) -> URL:
    """Return a database URL with our driver. Several hosts become the options `host` and `port`, joined by commas.

    Raises:
        ConfigurationError: It is not a PostgreSQL URL. The message does not show it, because it can hold a password.
    """
    if isinstance(url, URL):
        return url.set(drivername="postgresql+psycopg")
    parts = URL_PARTS.fullmatch(url.strip())
    if parts and parts["scheme"].lower() not in ("postgresql", "postgres"):
        raise ConfigurationError(
            f"the database URL is for '{parts['scheme']}', but Sivera Jobs needs PostgreSQL: {FORM}"
        )
    hosts = [HOST.fullmatch(each) for each in parts["hosts"].split(",")] if parts else [None]
    if not parts or not all(hosts) or "\0" in unquote(url):
        raise ConfigurationError(
            f"the database URL cannot be read: {FORM}, and percent-encode special characters within the user, the "
            "password and the names (%40 for @, %2F for /, %3A for a colon)"
        )
    query = _parse_query(parts["query"] or "")
    named = [(unquote(host["v6"] or host["name"]), host["port"] or "") for host in hosts if host]
    if len(named) > 1:
        ports = ",".join(port or "5432" for _, port in named)
        query = {"host": ",".join(host for host, _ in named), "port": ports} | query
        named = [("", "")]
    (host, port), *_ = named
    user, password, database = (unquote(parts[name] or "") or None for name in ("user", "password", "database"))
    number = int(port) if port else None
    parsed = URL.create("postgresql+psycopg", user, password, host or None, number, database, query)
    try:
        parsed.get_dialect()().create_connect_args(parsed)
    except ArgumentError:
        raise ConfigurationError(
            "the database URL has a port that is not a number, or another number of ports than of hosts: correct them"
        ) from None
    return parsed


def _parse_query(query: str) -> dict[str, str]:
    known = {each.keyword.decode() for each in psycopg.pq.Conninfo.get_defaults()} - {"service", "dbname"}
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, value = map(unquote, pair.partition("=")[::2])
        if name in SECRET_OPTIONS:
            raise ConfigurationError(
                f"the database URL has '{name}' among its options, where everyone can read it: write the password "
                "before the host, as in postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
            )
        if name not in known:
            shown = f"the option '{name}'" if re.fullmatch("[a-z_]{1,40}", name) else "an option"
            raise ConfigurationError(f"the database URL has {shown}, which cannot be used here: remove or correct it")
        if name in PATH_OPTIONS and value and not value.startswith("/") and (name, value) != ("sslrootcert", "system"):
            raise ConfigurationError(
                f"the database URL has a relative path in '{name}': write an absolute one, because each run works in a "
                "folder of its own"
            )
        if name in options and name not in ("host", "port"):
            raise ConfigurationError(f"the database URL gives the option '{name}' more than once: give it once")
        if name == "host" and re.fullmatch(r"[\w.-]+:\d+", value):  # SQLAlchemy's way to write several hosts
            value, _, port = value.partition(":")
            options["port"] = ",".join(filter(None, [options.get("port"), port]))
        options[name] = f"{options[name]},{value}" if name in options else value
    return options


def describe(url: URL) -> str:
    """Return where a database is, without secrets."""
    place = place_of(url)
    return f"{place.server}/{place.database}"


def open_engine(url: URL | str, pool_size: int = 5, statement_seconds: int = STATEMENT_TIMEOUT_SECONDS) -> Engine:
    """Return an engine with at most `pool_size` connections, a time limit for each statement, and sessions in UTC.

    It also works behind a transaction pool, such as PgBouncer, that refuses or drops settings sent with a connection.
    Nothing is connected yet; see `check`.
    """
    # Names in all languages need UTF-8, whatever the URL says.
    url = parse_url(url).difference_update_query(["client_encoding"])
    options = str(url.query.get("options", ""))
    engine = create_engine(
        url.difference_update_query(["options"]),
        pool_size=pool_size,
        max_overflow=0,
        # Each statement must see what others have committed, whatever the role or the database sets.
        isolation_level="READ COMMITTED",
        # Errors must not show values, such as ciphertexts or names.
        hide_parameters=True,
        connect_args={name: value for name, value in DEFAULTS.items() if name not in url.query},
    )
    written = "".join(f" -c {name}={value}" for name, value in STYLES.items())
    ours = f"-c statement_timeout={statement_seconds}s {options}{written} -c {PROBE}=1"

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Dialect, _record: object, _args: object, parameters: dict[str, Any]) -> Any:
        pooled = engine.get_execution_options().get("pooled")
        connection = None if pooled else _connect_directly(parameters, ours, probe=pooled is None)
        engine.update_execution_options(pooled=connection is None)
        if connection is None:
            if options:
                raise ConfigurationError(
                    f"the pool at {describe(url)} accepts no options: remove `options` from the URL and set them with "
                    "`ALTER ROLE ... SET`, or name PostgreSQL itself instead of the pool"
                )
            # The next transaction may run in another session of the server.
            connection = psycopg.connect(**parameters, prepare_threshold=None)
        return connection

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if is_pooled(engine):
            connection.exec_driver_sql(
                # Another client of the pool may have changed the search path.
                "SET LOCAL search_path TO DEFAULT; "
                f"SELECT set_config('statement_timeout', '{statement_seconds}s', true)"
                + "".join(f", set_config('{name}', '{value}', true)" for name, value in STYLES.items())
            )

    @event.listens_for(engine, "handle_error")
    def explained(context: ExceptionContext) -> None:
        # Prefect, logs and pages show the text. An error that we cannot explain keeps its statement.
        error = context.sqlalchemy_exception
        context.original_exception.place = place_of(url, engine.dialect.default_schema_name)  # type: ignore[attr-defined]
        if error and (said := explain(error)):
            error.args, error.statement, error.code = (said,), None, None

    event.listen(engine, "checkout", _refuse_closed)
    return engine


@contextmanager
def engine_on(
    url: URL | str, pool_size: int = 1, statement_seconds: int = STATEMENT_TIMEOUT_SECONDS
) -> Iterator[Engine]:
    """Yield an engine, and close its connections when the body ends; see `open_engine`."""
    engine = open_engine(url, pool_size, statement_seconds)
    try:
        yield engine
    finally:
        engine.dispose()


def _refuse_closed(connection: Any, *_: object) -> None:
    """Make the pool reconnect if the server has closed this connection.

    The socket shows that without the round trip that a ping (`pool_pre_ping`) takes for each transaction.
    """
    socket = poll()
    try:
        socket.register(connection.fileno(), POLLIN)
        if not socket.poll(0):
            return
        connection.pgconn.consume_input()  # perhaps only a notice
    except psycopg.Error:
        raise InvalidatePoolError from None
    if socket.poll(0):
        raise InvalidatePoolError


def _connect_directly(parameters: dict[str, Any], options: str, *, probe: bool) -> psycopg.Connection | None:
    """Connect with our settings; return None if a pool does not accept them."""
    try:
        connection = psycopg.connect(**parameters, options=options, autocommit=True)
    except UnicodeError:  # a host such as db..example.com
        raise psycopg.OperationalError("the host cannot be resolved") from None
    except psycopg.OperationalError as error:
        if re.search(POOL_REFUSAL, str(error)):
            return None
        raise
    if probe and connection.execute(f"SELECT current_setting('{PROBE}', true)").fetchone() != ("1",):
        connection.close()
        return None
    connection.autocommit = False
    return connection


def is_pooled(engine: Engine) -> bool:
    """Return whether a transaction pool is in front of the database; False if nothing has connected yet."""
    return bool(engine.get_execution_options().get("pooled"))


def reading(engine: Engine) -> Engine:
    """Return an engine that shares the connections and runs single queries without a transaction's round trips."""
    if "pooled" not in engine.get_execution_options():
        engine.connect().close()
    # Behind a pool, the time limit needs a transaction.
    return engine if is_pooled(engine) else _in_autocommit(engine)


@cache
def _in_autocommit(engine: Engine) -> Engine:
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def after_commit(session: Session, tell: Callable[[], None]) -> None:
    """Call `tell` once after a session's transaction is committed."""
    event.listen(session, "after_commit", lambda _: tell(), once=True)


def check(engine: Engine) -> None:
    """Raise ConfigurationError with the remedy if the database does not answer."""
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except (OperationalError, ProgrammingError) as error:
        raise ConfigurationError(sentence(error)) from None


def check_writes(engine: Engine) -> None:
    """Raise ConfigurationError with the remedy if the database does not answer or is read-only."""
    check(engine)
    with engine.connect() as connection:
        if connection.scalar(text("SELECT current_setting('transaction_read_only')")) == "on":
            raise ConfigurationError(read_only(place_of(engine.url)))


def check_room(engine: Engine) -> None:
    """Raise SQLAlchemyError if the server's disk is full, although it still answers queries."""
    with engine.begin() as connection:
        if connection.scalar(text("SELECT has_database_privilege(current_database(), 'TEMPORARY')")):
            connection.execute(
                text("CREATE TEMPORARY TABLE room ON COMMIT DROP AS SELECT FROM generate_series(1, 100000)")
            )


def read_size(session: Session) -> int:
    """Return the size of this database, in bytes."""
    return int(session.scalars(text("SELECT pg_database_size(current_database())")).one())


def read_data_directory(session: Session) -> str | None:
    """Return the server's data directory; None if it is reached over the network, or hides it from this user."""
    # A server behind a Unix socket is on this machine. SHOW would fail for a user without the right to know.
    directory: str | None = session.scalar(
        text("SELECT setting FROM pg_settings WHERE name = 'data_directory' AND inet_server_addr() IS NULL")
    )
    return directory
