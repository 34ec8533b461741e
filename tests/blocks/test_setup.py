"""The setup of a real Prefect server."""

from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate, WorkPoolCreate, WorkPoolUpdate
from pydantic import SecretStr

from blocks.automations import AUTOMATIONS
from blocks.database import load_database_url
from blocks.names import BACKUPS, CRON_SECRET, LOCKS, REPORTS, TOKEN_KEY, WORK_POOL
from blocks.platform_app import load_platform_app
from blocks.server import connect, load
from blocks.setup import SetupSummary, setup
from blocks.storage import Storage, load_storage
from blocks.token_key import TokenKey, load_keyring
from sivera.errors import ConfigurationError
from sivera.platforms.base import AppCredentials
from sivera.values import PlatformName

DATABASE_URL = "postgresql://ana:s3cret-value@db.example.com:5433/sivera?sslmode=require"
APP = AppCredentials(client_id="id", client_secret=SecretStr("s3cret-value"), developer_token=SecretStr("d3v-value"))
APPS = dict.fromkeys(PlatformName, APP)
DOCUMENTS = (
    "sqlalchemy-connector/sivera-db",
    "platform-app/google",
    "platform-app/meta",
    "platform-app/amazon",
    "platform-app/tiktok",
)


def everything() -> dict[str, Any]:
    """Everything that a setup makes, with ids, secrets and times of change."""
    with connect() as client:
        documents = client.request("POST", "/block_documents/filter", json={"include_secrets": True}).json()
        types = client.request("POST", "/block_types/filter", json={}).json()
        return {
            "documents": {document["id"]: (document["updated"], document["data"]) for document in documents},
            "types": {each["slug"]: each["updated"] for each in types},
            "locks": [client.read_global_concurrency_limit_by_name(lock) for lock in LOCKS],
            "pool": client.read_work_pool(WORK_POOL).model_dump(exclude={"status"}),
            "automations": client.read_automations(limit=200),
        }


@pytest.mark.usefixtures("clean_prefect")
def test_makes_everything_once_and_then_changes_only_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    first = setup(DATABASE_URL, APPS)
    made = everything()
    made_once = {f"token-key/{TOKEN_KEY}", f"cron-secret/{CRON_SECRET}", f"storage/{REPORTS}", f"storage/{BACKUPS}"}
    assert set(DOCUMENTS) | made_once | {f"work-pool/{WORK_POOL}"} < set(first.created)
    assert {f"concurrency-limit/{lock}" for lock in LOCKS} < set(first.created)
    assert {f"automation/{automation.name}" for automation in AUTOMATIONS} < set(first.created)
    assert len(first.created) == len(DOCUMENTS) + len(made_once) + 1 + len(LOCKS) + len(AUTOMATIONS)
    assert (first.updated, first.missing) == ((), ())

    assert setup(DATABASE_URL, APPS) == SetupSummary(created=(), updated=(), missing=())
    assert everything() == made
    with connect() as client:
        shown = client.request("POST", "/block_documents/filter", json={}).text
    assert "ana" in shown
    key = load(TokenKey, TOKEN_KEY, "").keys.get_secret_value()[load_keyring().current]
    assert not [secret for secret in ("s3cret-value", "d3v-value", key) if secret in shown]
    assert load_database_url().render_as_string(hide_password=False) == DATABASE_URL.replace(
        "postgresql:", "postgresql+psycopg:"
    )
    assert load_platform_app(PlatformName.META).client_secret.get_secret_value() == "s3cret-value"

    monkeypatch.setenv("SIVERA_DATABASE_URL", "postgresql://ana@elsewhere/sivera")
    setup()
    assert load_database_url().host == "db.example.com"
    changed = APP.model_copy(update={"developer_token": None})
    summary = setup("postgresql://ana@/sivera?host=/run/postgresql", {PlatformName.GOOGLE: changed})
    assert summary.updated == ("sqlalchemy-connector/sivera-db", "platform-app/google")
    assert load_database_url().password is None
    assert load_platform_app(PlatformName.GOOGLE).developer_token is None
    assert load_platform_app(PlatformName.META).developer_token == SecretStr("d3v-value")


@pytest.mark.usefixtures("clean_prefect")
def test_keeps_what_is_saved_or_paused_and_restores_the_rest(tmp_path: Path) -> None:
    mine = TokenKey.generate()
    mine.save(TOKEN_KEY)
    assert f"token-key/{TOKEN_KEY}" not in setup(storage_dir=tmp_path).created
    assert load_keyring().current == mine.current
    load_storage(REPORTS).get_filesystem().pipe("2026/one.html", b"a page")
    assert (tmp_path / REPORTS / "2026" / "one.html").read_bytes() == b"a page"
    elsewhere = f"file://{tmp_path}/elsewhere"
    Storage(url=elsewhere).save(REPORTS, overwrite=True)
    assert setup(storage_dir=tmp_path) == SetupSummary(created=(), updated=(), missing=DOCUMENTS)
    assert load_storage(REPORTS).url == elsewhere

    silent = AUTOMATIONS[0]
    with connect() as client:
        client.update_work_pool(WORK_POOL, WorkPoolUpdate(is_paused=True, concurrency_limit=3))
        client.update_global_concurrency_limit(LOCKS[0], GlobalConcurrencyLimitUpdate(limit=5))
        automation = client.read_automations_by_name(silent.name)[0]
        client.update_automation(
            automation.id, silent.model_copy(update={"enabled": False, "description": "Mine.", "tags": []})
        )
        assert setup(storage_dir=tmp_path).updated == (f"concurrency-limit/{LOCKS[0]}", f"automation/{silent.name}")

        pool = client.read_work_pool(WORK_POOL)
        assert (pool.is_paused, pool.concurrency_limit) == (True, 3)
        assert client.read_global_concurrency_limit_by_name(LOCKS[0]).limit == 1
        restored = client.read_automations_by_name(silent.name)
        assert [(each.id, each.enabled, each.description) for each in restored] == [
            (automation.id, False, silent.description)
        ]
        client.delete_work_pool(WORK_POOL)
        client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="docker"))
        with pytest.raises(ConfigurationError, match="'docker', and our jobs run in a 'process' pool"):
            setup()
