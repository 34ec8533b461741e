"""The variables of secrets become blocks; what is wrong is named in one line each, without its value."""

import base64
import re
from pathlib import Path

import pytest
from prefect.blocks.core import Block

from blocks.cron_secret import CronSecret
from blocks.monitoring import DeadMansPing, ResultWebhook
from blocks.platform_app import PlatformApp
from blocks.secrets import read_environment, read_text
from blocks.storage import Storage
from blocks.token_key import TokenKey
from sivera.errors import ConfigurationError

JOBS = ["sync-campaigns", "refresh-tokens", "sync-campaigns/all"]
CANARY = "canary-Zq7"
"""Within every secret value of these tests."""

KEY = base64.urlsafe_b64encode(CANARY.encode().ljust(32, b"-")).decode()
WEBHOOK_SECRET = f"whsec_{base64.b64encode(CANARY.encode().ljust(32, b'-')).decode()}"
VARIABLES = {
    "SIVERA_DATABASE_URL": f"postgresql://ana:{CANARY}-db@db.example.com:5433/sivera",
    "SIVERA_GOOGLE_CLIENT_ID": "1234",
    "SIVERA_GOOGLE_CLIENT_SECRET": f"{CANARY}-google",
    "SIVERA_GOOGLE_DEVELOPER_TOKEN": f"{CANARY}-dev",
    "SIVERA_TOKEN_KEY_KEYS": f'{{"k1": "{KEY}"}}',
    "SIVERA_TOKEN_KEY_CURRENT": "k1",
    "SIVERA_CRON_SECRET": f"{CANARY}-cron-secret",
    "SIVERA_REPORTS_URL": "s3://bucket/reports",
    "SIVERA_REPORTS_OPTIONS": f'{{"key": "id", "secret": "{CANARY}-s3"}}',
    "SIVERA_RESULT_WEBHOOK_URL": f"https://hooks.example.com/{CANARY}-hook",
    "SIVERA_RESULT_WEBHOOK_SECRET": WEBHOOK_SECRET,
    "SIVERA_PINGS_SYNC_CAMPAIGNS": f"https://hc.example.com/{CANARY}-ping",
}
AS_FILE = "# of production\nPREFECT_API_URL=http://elsewhere/api\n" + "".join(
    f"export {name}='{value}'\n" for name, value in VARIABLES.items()
)


def refused(text: str | dict[str, str]) -> list[str]:
    """The lines that say what is wrong; none shows a value."""
    with pytest.raises(ConfigurationError) as caught:
        _ = read_text(text, JOBS) if isinstance(text, str) else read_environment(text, JOBS)
    assert not re.search(f"{CANARY}|{KEY}", str(caught.value))
    return str(caught.value).splitlines()


@pytest.mark.parametrize("blocks", [read_environment(VARIABLES, JOBS), read_text(AS_FILE, JOBS)], ids=["env", "file"])
def test_each_variable_becomes_a_field_of_its_block(blocks: dict[str, Block]) -> None:
    database = blocks.pop("sivera-db").model_dump()["connection_info"]
    assert database["password"].get_secret_value() == f"{CANARY}-db"
    assert (database["host"], database["port"], database["database"]) == ("db.example.com", 5433, "sivera")
    assert blocks == {
        "google": PlatformApp(client_id="1234", client_secret=f"{CANARY}-google", developer_token=f"{CANARY}-dev"),
        "token-key": TokenKey(keys={"k1": KEY}, current="k1"),
        "cron-secret": CronSecret(current=f"{CANARY}-cron-secret"),
        "reports": Storage(url="s3://bucket/reports", options={"key": "id", "secret": f"{CANARY}-s3"}),
        "result-webhook": ResultWebhook(url=f"https://hooks.example.com/{CANARY}-hook", secret=WEBHOOK_SECRET),
        "dead-mans-ping": DeadMansPing(urls={"sync-campaigns": f"https://hc.example.com/{CANARY}-ping"}),
    }


def test_empty_variables_and_those_that_are_no_secrets_may_stand_beside_them() -> None:
    beside = {"SIVERA_DAILY_CALLS": '{"google": 2880}', "SIVERA_LOG_LEVEL": "DEBUG", "SIVERA_RESTORE_URL": CANARY}
    beside |= dict.fromkeys(VARIABLES, "")
    assert read_environment(beside, JOBS) == {}
    assert read_text("".join(f"{name}={value}\n" for name, value in beside.items()), JOBS) == {}


def test_a_value_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    secret = tmp_path / "of-the-container"
    secret.write_text(f"{CANARY}-from-a-file\n")
    blocks = read_environment({"SIVERA_CRON_SECRET_FILE": str(secret)}, JOBS)
    assert blocks == {"cron-secret": CronSecret(current=f"{CANARY}-from-a-file")}


def test_a_file_without_a_value_is_named(tmp_path: Path) -> None:
    file = tmp_path / CANARY
    for content, said in (
        (None, "cannot be read (No such file or directory)"),
        (b"\n", "is empty"),
        (b"\xff", "cannot"),
    ):
        if content:
            file.write_bytes(content)
        (line,) = refused({"SIVERA_CRON_SECRET_FILE": str(file)})
        assert line.startswith(f"SIVERA_CRON_SECRET_FILE: the file {said}")


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("BACKUPS_URL", f"s3://key:{CANARY}@bucket/x", "it holds credentials"),
        ("CRON_SECRET", CANARY, "it is shorter than 16 characters"),
        ("DATABASE_URL", f"mysql://ana:{CANARY}@h/x", "the database URL is for 'mysql'"),
        ("REPORTS_OPTIONS", CANARY, "write it as a JSON object"),
        ("RESULT_WEBHOOK_URL", f"ftp://{CANARY}", "it is not a URL that"),
        ("TOKEN_KEY_KEYS", CANARY, "write it as a JSON object"),
        ("DATABSE_URL", CANARY, "there is no such name; is it SIVERA_DATABASE_URL?"),
        ("GOGLE_CLIENT_ID", CANARY, "there is no such name; is it SIVERA_GOOGLE_CLIENT_ID?"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str, line: str) -> None:
    lines = refused({f"SIVERA_{name}": value})
    assert [each for each in lines if each.startswith(f"SIVERA_{name}: {line}")], lines
    assert all(each.startswith(f"SIVERA_{name}: ") or each.endswith(": it is missing") for each in lines)


def test_everything_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    lines = refused(
        {
            "SIVERA_GOOGLE_CLIENT_ID": "1234",
            "SIVERA_CRON_SECRET": f"{CANARY}-cron-secret",
            "SIVERA_CRON_SECRET_FILE": str(tmp_path / CANARY),
            "SIVERA_SOMETHING_ELSE": "that is not ours",
            "SIVERA_DATABSE_URL": CANARY,
        }
    )
    assert lines == [
        "SIVERA_CRON_SECRET_FILE: SIVERA_CRON_SECRET is set as well: keep one of them",
        "SIVERA_DATABSE_URL: there is no such name; is it SIVERA_DATABASE_URL?",
        "SIVERA_GOOGLE_CLIENT_SECRET: it is missing",
    ]


def test_a_line_of_a_file_that_sets_nothing_is_named() -> None:
    assert refused(f"SIVERA_CRON_SECRET={CANARY}-cron-secret\n!! {CANARY}") == ["line 2: write it as NAME=VALUE"]
    assert refused("SOMETHING=1") == ["SOMETHING: there is no such name"]
