"""`sivera setup`: secrets from the environment, a file or standard input become blocks of a real Prefect server."""

import base64
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from tenacity import Retrying, stop_after_delay, wait_fixed

from blocks.cron_secret import load_cron_secret
from blocks.database import load_database_url
from blocks.monitoring import find_pings, find_webhook
from blocks.names import BACKUPS, DATABASE, DEAD_MANS_PING, REPORTS
from blocks.platform_app import load_platform_app
from blocks.secret_sources import read_text
from blocks.server import connect
from blocks.storage import load_storage
from blocks.token_key import TokenKey, load_token_key
from sivera.monitoring import generate_secret
from sivera.values import PlatformName
from tests.ops.commands import Answer, Sivera
from tests.prefect_server import PrefectServer
from tests.unit.test_docs import ENGLISH, blocks

pytestmark = pytest.mark.usefixtures("clean_prefect")

CANARY = "canary-Zq7"
"""Within every secret value of these tests."""

KEY = base64.urlsafe_b64encode(CANARY.encode().ljust(32, b"-")).decode()
WEBHOOK_SECRET = generate_secret().get_secret_value()

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
TOML = f"""
database_url = "{VARIABLES["SIVERA_DATABASE_URL"]}"
cron_secret = "{CANARY}-cron-secret"
[google]
client_id = "1234"
client_secret = "{CANARY}-google"
developer_token = "{CANARY}-dev"
[token_key]
current = "k1"
keys = {{ k1 = "{KEY}" }}
[reports]
url = "s3://bucket/reports"
options = {{ key = "id", secret = "{CANARY}-s3" }}
[result_webhook]
url = "https://hooks.example.com/{CANARY}-hook"
secret = "{WEBHOOK_SECRET}"
[pings]
sync-campaigns = "https://hc.example.com/{CANARY}-ping"
"""
DOTENV = "# of production\nPREFECT_API_URL=http://elsewhere/api\n" + "".join(
    f"export {name}='{value}'\n" for name, value in VARIABLES.items()
)
DOCUMENTS = (
    "sqlalchemy-connector/sivera-db",
    "platform-app/google",
    "token-key/token-key",
    "cron-secret/cron-secret",
    "storage/reports",
    "result-webhook/result-webhook",
    "dead-mans-ping/dead-mans-ping",
)


@pytest.fixture(autouse=True)
def _no_secrets_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SIVERA_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A file that only its owner can read."""
    path = tmp_path / "secrets"
    path.touch(mode=0o600)
    return path


def hidden(answer: Answer) -> Answer:
    """The answer, which shows no secret."""
    assert CANARY not in answer.out + answer.err
    assert KEY not in answer.out + answer.err
    assert WEBHOOK_SECRET not in answer.out + answer.err
    return answer


def refused(answer: Answer) -> list[str]:
    """The lines in which a command said why not, having saved nothing."""
    assert hidden(answer).out == ""
    assert answer.code == 1
    with connect() as client:
        assert client.request("POST", "/block_documents/filter", json={}).json() == []
    return answer.err.removeprefix("sivera: ").splitlines()


def check_saved() -> None:
    assert load_database_url().password == f"{CANARY}-db"
    app = load_platform_app(PlatformName.GOOGLE)
    assert app.client_secret.get_secret_value() == f"{CANARY}-google"
    assert app.developer_token
    assert app.developer_token.get_secret_value() == f"{CANARY}-dev"
    assert load_token_key().keys.get_secret_value() == {"k1": KEY}
    assert load_cron_secret().current.get_secret_value() == f"{CANARY}-cron-secret"
    assert load_storage(REPORTS).options.get_secret_value() == {"key": "id", "secret": f"{CANARY}-s3"}
    webhook, pings = find_webhook(), find_pings()
    assert webhook
    assert webhook.url.get_secret_value().endswith(f"{CANARY}-hook")
    assert pings
    assert str(pings.urls.get_secret_value()["sync-campaigns"]).endswith(f"{CANARY}-ping")


def test_the_environment_is_saved_once_and_a_second_time_changes_nothing(
    sivera: Sivera, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert hidden(sivera("setup")).out == f"created: {', '.join(DOCUMENTS)}\n"
    check_saved()
    assert hidden(sivera("setup")).out == f"unchanged: {', '.join(DOCUMENTS)}\n"
    monkeypatch.setenv("SIVERA_GOOGLE_CLIENT_ID", "5678")
    assert hidden(sivera("setup")).out.startswith(
        "updated: platform-app/google\nunchanged: sqlalchemy-connector/sivera-db"
    )
    assert load_platform_app(PlatformName.GOOGLE).client_id == "5678"


@pytest.mark.parametrize("text", [TOML, DOTENV], ids=["toml", "variables"])
def test_a_file_or_standard_input_is_saved_in_place_of_the_environment(
    sivera: Sivera, private: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIVERA_BACKUPS_URL", "s3://bucket/of-the-environment")
    private.write_text(text)
    assert hidden(sivera("setup", "--from", str(private))).out == f"created: {', '.join(DOCUMENTS)}\n"
    check_saved()
    assert hidden(sivera("setup", "--from", "-", stdin=DOTENV)).out == f"unchanged: {', '.join(DOCUMENTS)}\n"
    with connect() as client:
        assert f'"{BACKUPS}"' not in client.request("POST", "/block_documents/filter", json={}).text


def test_variables_that_are_not_saved_may_stand_beside_them(sivera: Sivera) -> None:
    beside = f"""
SIVERA_DAILY_CALLS={{"google": 2880}}
SIVERA_RESTORE_URL=postgresql://ana:{CANARY}@h/x
SIVERA_LOG_LEVEL=DEBUG
"""
    assert hidden(sivera("setup", "--from", "-", stdin=DOTENV + beside)).out == f"created: {', '.join(DOCUMENTS)}\n"


def test_a_value_may_lie_in_a_file_of_its_own(sivera: Sivera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "of-the-container"
    secret.write_text(f"{CANARY}-from-a-file\n")
    monkeypatch.setenv("SIVERA_CRON_SECRET_FILE", str(secret))
    assert hidden(sivera("setup")).out == "created: cron-secret/cron-secret\n"
    assert load_cron_secret().current.get_secret_value() == f"{CANARY}-from-a-file"


@pytest.mark.parametrize(
    ("content", "sentence"), [(b"\n", "is empty"), (b"\xff\xfe", "cannot be read (it is no text)")]
)
def test_a_file_with_a_value_that_holds_none_is_said(
    sivera: Sivera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, sentence: str
) -> None:
    (tmp_path / "value").write_bytes(content)
    monkeypatch.setenv("SIVERA_CRON_SECRET_FILE", str(tmp_path / "value"))
    (line,) = refused(sivera("setup"))
    assert line.startswith(f"SIVERA_CRON_SECRET_FILE: the file {sentence}")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_file_that_others_can_read_is_refused(sivera: Sivera, private: Path, mode: int) -> None:
    private.write_text(TOML)
    private.chmod(mode)
    (line,) = refused(sivera("setup", "--from", str(private)))
    assert line == f"others can read {private} (mode {mode:o}): run `chmod 600 {private}`"


def test_everything_that_is_wrong_is_said_at_once_and_nothing_saved(
    sivera: Sivera, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = {
        "SIVERA_DATABSE_URL": f"postgresql://ana:{CANARY}@h/x",
        "SIVERA_GOOGLE_CLIENT_ID": "1234",
        "SIVERA_META_CLIENT_ID": "1234",
        "SIVERA_META_CLIENT_SECRET": f"{CANARY}-meta",
        "SIVERA_META_BASE_URL": f"http://{CANARY}.example.com",
        "SIVERA_CRON_SECRET": CANARY,
        "SIVERA_CRON_SECRET_FILE": str(tmp_path / CANARY),
        "SIVERA_TOKEN_KEY_KEYS": f'{{"k1": "{CANARY}"}}',
        "SIVERA_TOKEN_KEY_CURRENT": "k1",
        "SIVERA_BACKUPS_URL": f"s3://key:{CANARY}@bucket/x",
        "SIVERA_RESULT_WEBHOOK_URL": f"ftp://{CANARY}",
        "SIVERA_RESULT_WEBHOOK_SECRET": CANARY,
        "SIVERA_REPORTS_URL": "s3://bucket/x",
        "SIVERA_REPORTS_OPTIONS": CANARY,
        "SIVERA_TIKTOK_CLIENT_SECRET_FILE": str(tmp_path / CANARY),
        "SIVERA_SOMETHING_ELSE": "that is not ours",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    lines = refused(sivera("setup"))
    assert [line.partition(": ")[0] for line in lines] == [
        "SIVERA_BACKUPS_URL",
        "SIVERA_CRON_SECRET",
        "SIVERA_CRON_SECRET_FILE",
        "SIVERA_DATABSE_URL",
        "SIVERA_GOOGLE_CLIENT_SECRET",
        "SIVERA_META_BASE_URL",
        "SIVERA_REPORTS_OPTIONS",
        "SIVERA_RESULT_WEBHOOK_SECRET",
        "SIVERA_RESULT_WEBHOOK_URL",
        "SIVERA_TIKTOK_CLIENT_SECRET_FILE",
        "SIVERA_TOKEN_KEY",
    ]
    assert "SIVERA_DATABSE_URL: there is no such name; is it SIVERA_DATABASE_URL?" in lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (f'[gogle]\nclient_id = "{CANARY}"', ["gogle: there is no such name; is it google?"]),
        (
            f'[google]\nclient_id = "1"\nclient_secret = "1"\ndeveloper_tokn = "{CANARY}"',
            ["google.developer_tokn: there is no such name; is it google.developer_token?"],
        ),
        (
            f'[pings]\nsync-campains = "https://h/{CANARY}"',
            ["pings: sync-campains: there is no such name; is it sync-campaigns?"],
        ),
        (f'cron_secret = "{CANARY}', ["it is neither variables nor TOML: see end of document"]),
        (
            f"SIVERA_GOGLE_CLIENT_ID={CANARY}",
            ["SIVERA_GOGLE_CLIENT_ID: there is no such name; is it SIVERA_GOOGLE_CLIENT_ID?"],
        ),
        (f"SIVERA_CRON_SECRET={CANARY}-cron-secret\n!! {CANARY}", ["line 2: write it as NAME=VALUE"]),
    ],
)
def test_a_mistake_is_named_with_the_nearest_right_name(
    sivera: Sivera, private: Path, text: str, lines: list[str]
) -> None:
    private.write_text(text)
    assert refused(sivera("setup", "--from", str(private))) == lines


def test_nothing_to_save_and_no_file_are_said(sivera: Sivera, tmp_path: Path) -> None:
    (line,) = refused(sivera("setup"))
    assert line.startswith("there is nothing to save: set variables such as SIVERA_DATABASE_URL")
    (line,) = refused(sivera("setup", "--from", str(tmp_path / "none")))
    assert line.endswith("none cannot be read (No such file or directory): see that it is there")


def test_what_the_guide_shows_can_be_saved() -> None:
    text = ENGLISH.read_text()
    (example,) = blocks(text, "toml")
    assert read_text(example, ["sync-campaigns"]).to_blocks().keys() == {DATABASE, "google", REPORTS, DEAD_MANS_PING}
    section = text.partition('<a id="setup">')[2].partition("<a id=")[0]
    named = set(re.findall(r"`(SIVERA_\w+)`", section)) - {"SIVERA_CRON_SECRET_FILE"}
    assert len(named) > 10
    assert read_text("".join(f"{name}=\n" for name in named), []).to_blocks() == {}


def test_keys_of_tokens_are_only_added(sivera: Sivera, private: Path) -> None:
    saved = TokenKey.generate()
    saved.save("token-key")
    private.write_text(TOML)
    assert sivera("setup", "--from", str(private)).code == 0
    block = load_token_key()
    assert block.current == saved.current
    assert block.keys.get_secret_value() == saved.keys.get_secret_value() | {"k1": KEY}
    other = base64.urlsafe_b64encode(b"-" * 32).decode()
    private.write_text(f'[token_key]\ncurrent = "k1"\nkeys = {{ k1 = "{other}" }}')
    answer = hidden(sivera("setup", "--from", str(private)))
    assert "the token key 'k1' is another one than is saved" in answer.refusal
    assert load_token_key() == block


def test_deploy_saves_what_the_environment_gives(sivera: Sivera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIVERA_CRON_SECRET", VARIABLES["SIVERA_CRON_SECRET"])
    answer = hidden(sivera("deploy"))
    assert answer.out.startswith("created: cron-secret/cron-secret\n")
    assert load_cron_secret().current.get_secret_value() == VARIABLES["SIVERA_CRON_SECRET"]


def test_no_process_has_a_secret_among_its_arguments(
    prefect_server: PrefectServer, private: Path, tmp_path: Path
) -> None:
    private.write_text(TOML)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SIVERA_", "PREFECT_"))}
    seen: set[str] = set()
    with subprocess.Popen(  # noqa: S603 - our own command line
        [sys.executable, "-P", "-m", "ops.cli", "setup", "--from", str(private)],
        cwd=tmp_path,
        env=clean | prefect_server.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for attempt in Retrying(wait=wait_fixed(0.05), stop=stop_after_delay(110)):
            with attempt:
                if process.poll() is None:
                    one = psutil.Process(process.pid)
                    for each in (one, *one.children(recursive=True)):
                        seen.update(each.cmdline())
                assert process.poll() is not None
        said = process.communicate()[0]
    assert process.returncode == 0, said
    assert CANARY not in said
    assert "setup" in seen
    assert not [word for word in seen if CANARY in word]
