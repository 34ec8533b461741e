"""`sivera credentials`, `accounts` and `apps` against a real Prefect server, sandbox and PostgreSQL."""

import io
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy.orm import Session

from blocks.platform_app import load_platform_app
from ops.commands.accounts import why_not
from ops.commands.session import read_secret
from sandbox.facts import CLIENT_ID
from sandbox.faults import Fault, FaultKind
from sivera.alerts.checking import find_in_data
from sivera.alerts.options import DEFAULTS
from sivera.errors import ConfigurationError
from sivera.models import AdAccount
from sivera.values import PlatformName
from tests.consents import Person, answered
from tests.ops.commands import Sivera, add, pasted, refusal
from tests.prefect_server import rewrite_block
from tests.stage import Stage

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LAST_REPORT = "Its campaigns are synced, and its last report is of 2026-11-22 12:00 UTC."


def test_a_grant_is_connected_listed_and_its_account_synced(sivera: Sivera, ready: Stage) -> None:
    assert "credentials connect" in sivera("credentials", "list").out
    assert "credentials connect" in sivera("accounts", "list").out
    grant = ready.world.add_grant(PlatformName.META, accounts=2, campaigns=4)
    token = pasted(ready, grant)

    answer = sivera(*add(PlatformName.META), stdin=f"{token}\n")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("Connected meta grant 1 (main) of the new team Hanok.\nIt carries 2 ad accounts;")
    (columns, row) = sivera("credentials", "list").out.splitlines()
    assert columns.split()[:5] == ["id", "team", "platform", "name", "status"]
    assert row.split()[:5] == ["1", "Hanok", "meta", "main", "active"]

    (first, second) = ready.rows("SELECT id, name, external_id FROM ad_accounts ORDER BY id")
    answer = sivera("accounts", "sync", str(first.id))
    assert answer.out.startswith(f"Syncing meta {first.name} ...\nThe run in the Prefect UI: http://127.0.0.1:")
    assert "Campaigns: 4 added, 0 changed, 0 unchanged, 0 removed." in answer.out
    (_, of_first, of_second, _, note) = sivera("accounts", "list").out.splitlines()
    assert first.external_id in of_first
    assert "never" not in of_first
    assert [second.external_id in of_second, of_second.split()[-2:]] == [True, ["never", "-"]]
    assert note == f"Account {second.id} (meta {second.name}): It is new: the next run takes it."

    assert sivera(*add(PlatformName.META), stdin=token).out.startswith("Replaced the token of meta grant 1 (main) of t")
    again = sivera(*add(PlatformName.META, "Hanok", "--name", "again"), stdin=token)
    assert again.out.splitlines()[1].startswith("It carries no ad accounts")


@pytest.mark.parametrize(
    ("stdin", "says"),
    [
        (None, "standard input is empty: pass the token there"),
        (io.StringIO(" \n"), "standard input is empty"),
        (io.StringIO("geheim\ngeheimer\n"), "does not hold"),
        (io.StringIO("geheimnisträger"), "does not hold"),
        (io.TextIOWrapper(io.BytesIO(b"geheim\xff"), "utf-8"), "does not hold"),
    ],
)
def test_input_that_cannot_be_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch, stdin: io.TextIOBase | None, says: str
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(ConfigurationError, match=says) as refused:
        read_secret("the token")
    assert "geheim" not in str(refused.value)


def test_impossible_requests_are_refused(sivera: Sivera, ready: Stage) -> None:
    for platform in PlatformName:
        line = sivera(*add(platform), stdin="geheim").refusal
        assert line.startswith(f"{platform.value}: ")
        assert "Nothing was stored: log in at the platform again and pass the new" in line
    assert ready.rows("SELECT 1 FROM teams") == []
    assert "there is no account 4711" in sivera("accounts", "sync", "4711").refusal
    assert "there is no account 4711" in sivera("accounts", "approve-removals", "4711").refusal
    grant = ready.world.add_grant(PlatformName.TIKTOK)
    id_ = str(ready.connect(grant).account_ids[0])
    assert "has no held removals" in sivera("accounts", "approve-removals", id_).refusal
    ready.world.faults.add(Fault(FaultKind.THROTTLE, PlatformName.TIKTOK, seconds=3600))
    answer = sivera("accounts", "sync", id_)
    assert answer.err.endswith("sivera: The platform throttles us now: the next run takes this account first.\n")
    ready.execute("UPDATE ad_accounts SET status = 'closed'")
    assert sivera("accounts", "sync", id_).refusal == "The account is closed at the platform."


def test_a_revoked_grant_is_connected_again_with_the_command_that_is_shown(
    sivera: Sivera, ready: Stage, person: Person, redirect: str
) -> None:
    grant = ready.world.add_grant(PlatformName.META)
    connection = ready.connect(grant, team="O'Hanok & 한빛")
    id_ = str(connection.account_ids[0])
    ready.world.revoke_grant(grant.id)
    answer = sivera("accounts", "sync", id_)
    assert "must connect the account again" in refusal(answer.code, answer.err)
    assert len(answer.out.splitlines()) == 2, "the reason is said once"

    assert sivera("accounts", "sync", id_).refusal.startswith("Grant 1 has to be connected again")
    assert "Grant 1 has to be connected again" in sivera("accounts", "list").out
    *_, note = sivera("credentials", "list").out.splitlines()
    assert note.startswith("Grant 1 (meta, O'Hanok & 한빛): ")
    command = shlex.split(note.rpartition(" Run: ")[2])
    assert command[0] == "sivera"

    person.decide = lambda page: answered(page, user=str(grant.id))
    assert sivera(*command[1:], "--redirect-uri", redirect).code == 0
    assert "Grant" not in sivera("credentials", "list").out
    assert sivera("accounts", "sync", id_).code == 0


def test_the_keys_of_our_application_are_saved_and_checked(sivera: Sivera, ready: Stage) -> None:
    url = f"{ready.sandbox}/amazon"
    for stdin, base_url, says in [
        ("", url, "standard input is empty: pass the secret of our amazon application there"),
        ("geheim", "http://example.com", "base_url: use https"),
    ]:
        line = sivera("apps", "set", "amazon", "--client-id", "other", "--base-url", base_url, stdin=stdin).refusal
        assert says in line
    assert load_platform_app(PlatformName.AMAZON).client_id == CLIENT_ID

    assert sivera("apps", "set", "amazon", "--client-id", "other", "--base-url", url, stdin="geheim\n").code == 0
    saved = load_platform_app(PlatformName.AMAZON)
    assert (saved.client_id, saved.client_secret.get_secret_value(), saved.base_url) == ("other", "geheim", url)
    token = pasted(ready, ready.world.add_grant(PlatformName.AMAZON))
    remedy = "check our application's keys, then: sivera apps set amazon"
    assert remedy in sivera(*add(PlatformName.AMAZON), stdin=token).refusal

    rewrite_block("platform-app", "google", client_id="", client_secret="old", developer_token="d3v-value")
    assert sivera("apps", "set", "google", "--client-id", "new", stdin="geheim").code == 0
    assert load_platform_app(PlatformName.GOOGLE).developer_token == SecretStr("d3v-value")


@pytest.mark.parametrize(
    ("state", "lacks", "says"),
    [
        ({}, None, ""),
        ({"last_synced_at": None}, None, "It is new: the next run takes it."),
        ({"last_synced_at": None}, "sync", "No run has reached it lately: run `sivera doctor`."),
        ({"last_error": "meta: failed.", "next_attempt_at": NOW - timedelta(minutes=1)}, None, "meta: failed."),
        ({"last_synced_at": None, "last_error": "meta: failed."}, "sync", "meta: failed."),
        ({"next_attempt_at": NOW + timedelta(hours=2)}, None, "Runs skip it until 2026-11-24 14:00 UTC."),
        ({"unlisted_since": NOW - timedelta(hours=2)}, None, "Its grant has not listed it since 2026-11-24 10:00 UTC."),
        ({"last_error": "amazon: failed."}, "reports", f"amazon: failed. {LAST_REPORT}"),
        ({}, "full", "It had no good full sync for two days. Try one: sivera accounts sync 7 --full"),
    ],
)
def test_why_an_account_is_not_synced(state: dict[str, object], lacks: str | None, says: str) -> None:
    known = {"id": 7, "status": "active", "last_synced_at": NOW, "reports_as_of": NOW - timedelta(days=2)}
    assert why_not(AdAccount(**known | state), "active", None, NOW, (), lacks) == says


def test_the_list_and_the_alerts_agree_on_when_an_account_is_stale(sivera: Sivera, ready: Stage) -> None:
    ready.connect(ready.world.add_grant(PlatformName.META))
    ready.execute("UPDATE platform_credentials SET status_since = now() - interval '1 day'")
    ready.execute("UPDATE ad_accounts SET created_at = now() - interval '1 day', last_full_sync_at = now()")
    for minutes in (179, 181):
        age = f"interval '{minutes} minutes'"
        ready.execute(f"UPDATE ad_accounts SET last_synced_at = now() - {age}")  # noqa: S608 - a constant
        with Session(ready.engine) as session:
            is_stale = bool(find_in_data(session, DEFAULTS))
        assert is_stale is (minutes > 180)
        assert ("No run has reached it lately" in sivera("accounts", "list").out) is is_stale
