"""`sivera setup` saves secrets of the environment, a file or standard input in a real Prefect server."""

import base64
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from blocks.cron_secret import load_cron_secret
from blocks.database import load_database_url
from blocks.platform_app import load_platform_app
from blocks.server import connect
from blocks.token_key import TokenKey, load_token_key
from ops.commands.setup import save_environment
from ops.stack.folder import CRON_SECRET_FILE, DATABASE_URL_FILE
from sivera.database import parse_url
from sivera.values import PlatformName
from tests.ops.commands import Answer, Sivera
from tests.unit.test_secret_variables import AS_FILE, CANARY, KEY, VARIABLES, WEBHOOK_SECRET

pytestmark = pytest.mark.usefixtures("clean_prefect", "clean_environment")

DOCUMENTS = (
    "sqlalchemy-connector/sivera-db, platform-app/google, token-key/token-key, cron-secret/cron-secret, "
    "storage/reports, result-webhook/result-webhook, dead-mans-ping/dead-mans-ping"
)


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "secrets"
    path.touch(mode=0o600)
    return path


def hidden(answer: Answer) -> Answer:
    """Check that an answer shows no secret."""
    assert not [secret for secret in (CANARY, KEY, WEBHOOK_SECRET) if secret in answer.out + answer.err]
    return answer


def refused(answer: Answer) -> str:
    """Check that a command saved nothing; return the line in which it refused."""
    with connect() as client:
        assert client.request("POST", "/block_documents/filter", json={}).json() == []
    return hidden(answer).refusal


def test_the_environment_or_a_file_is_saved_and_a_second_time_changes_nothing(
    sivera: Sivera, monkeypatch: pytest.MonkeyPatch, private: Path
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert hidden(sivera("setup")).out == f"created: {DOCUMENTS}\n"
    assert load_database_url().password == f"{CANARY}-db"
    assert load_platform_app(PlatformName.GOOGLE).client_secret.get_secret_value() == f"{CANARY}-google"
    assert load_cron_secret().current.get_secret_value() == f"{CANARY}-cron-secret"
    private.write_text(AS_FILE)
    monkeypatch.setenv("SIVERA_BACKUPS_URL", "s3://bucket/of-the-environment")
    assert hidden(sivera("setup", "--from", str(private))).out == f"unchanged: {DOCUMENTS}\n"
    changed = re.sub("export SIVERA_GOOGLE_DEVELOPER_TOKEN=.*\n", "", AS_FILE.replace("'1234'", "'5678'"))
    answer = hidden(sivera("setup", "--from", "-", stdin=changed))
    assert answer.out.startswith("updated: platform-app/google\nunchanged: sqlalchemy-connector/sivera-db")
    app = load_platform_app(PlatformName.GOOGLE)
    assert (app.client_id, app.developer_token) == ("5678", SecretStr(f"{CANARY}-dev")), (
        "values that are not given stay"
    )


def test_invalid_secrets_save_nothing(sivera: Sivera, private: Path, tmp_path: Path) -> None:
    assert refused(sivera("setup")).startswith("there is nothing to save: set variables such as SIVERA_DATABASE_URL")
    assert refused(sivera("setup", "--from", str(tmp_path / "none"))).endswith(
        "none cannot be read (No such file or directory): check its path and mode"
    )
    private.write_text(f"{AS_FILE}SIVERA_DATABSE_URL={CANARY}\n")
    assert refused(sivera("setup", "--from", str(private))).startswith("SIVERA_DATABSE_URL: there is no such name")
    for mode in (0o644, 0o640, 0o602):
        private.chmod(mode)
        line = refused(sivera("setup", "--from", str(private)))
        assert line == f"others can read {private} (mode {mode:o}): run `chmod 600 {private}`"


def test_token_keys_are_only_added(sivera: Sivera, private: Path) -> None:
    saved = TokenKey.generate()
    saved.save("token-key")
    private.write_text(AS_FILE)
    assert sivera("setup", "--from", str(private)).code == 0
    block = load_token_key()
    assert block.current == saved.current
    assert block.keys.get_secret_value() == saved.keys.get_secret_value() | {"k1": KEY}
    other = base64.urlsafe_b64encode(b"-" * 32).decode()
    private.write_text(f'SIVERA_TOKEN_KEY_CURRENT=k1\nSIVERA_TOKEN_KEY_KEYS=\'{{"k1": "{other}"}}\'\n')
    answer = hidden(sivera("setup", "--from", str(private)))
    assert "the token key 'k1' differs from the saved one" in answer.refusal
    assert load_token_key() == block


def test_deploy_saves_secrets_of_the_environment_and_its_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("SIVERA_CRON_SECRET", "SIVERA_DATABASE_URL"):
        monkeypatch.setenv(name, VARIABLES[name])
    monkeypatch.setenv("SIVERA_ALERTS_SLACK", "https://hooks.slack.com/services/T0000000A/B0000000B/s3cretvalue")
    (tmp_path / "discord").write_text(f"https://discord.com/api/webhooks/123456789012345678/{CANARY}\n")
    monkeypatch.setenv("SIVERA_ALERTS_DISCORD_FILE", str(tmp_path / "discord"))
    save_environment(tmp_path)
    out = capsys.readouterr().out
    for secret in (CANARY, "s3cretvalue"):
        assert secret not in out
    for document in ("cron-secret/cron-secret", "slack-webhook/alerts-slack", "discord-webhook/alerts-discord"):
        assert document in out
    assert load_cron_secret().current.get_secret_value() == VARIABLES["SIVERA_CRON_SECRET"]
    assert (tmp_path / CRON_SECRET_FILE).read_text() == VARIABLES["SIVERA_CRON_SECRET"]
    copy = tmp_path / DATABASE_URL_FILE
    assert (parse_url(copy.read_text()), copy.stat().st_mode & 0o777) == (load_database_url(), 0o600)
