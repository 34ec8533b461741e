"""Discovering the ad accounts of grants."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.accounts.queries import accounts_of
from sivera.errors import PlatformError, ReconnectRequired
from sivera.grants.discovering import AGAIN_AFTER, Discovery, discover, due_grants, rediscover
from sivera.grants.queries import claim_discovery
from sivera.sync.plan import SyncMode, SyncOptions, plan_sync
from sivera.sync.summary import Outcome
from sivera.sync.tally import SyncTally
from sivera.values import AdAccount, PlatformName
from tests.stage import Stage
from tests.unit.grants.due import grant_row

GOOGLE, META, AMAZON, TIKTOK = PlatformName


def find(stage: Stage, platform: PlatformName, id_: int) -> Discovery:
    return discover(stage.tokens(platform, id_))


def news(stage: Stage, id_: int) -> list[tuple[int, str]]:
    """Discover a grant of Meta's, and return what is new."""
    return [(change.account_id, change.what) for change in find(stage, META, id_).changes]


def change(stage: Stage, columns: str, table: str = "platform_credentials") -> None:
    stage.execute(f"UPDATE {table} SET {columns}")  # noqa: S608 - ours


def due(stage: Stage) -> list[int]:
    with Session(stage.engine) as session:
        return [grant.id for grant in due_grants(session, (), ())]


def test_a_grant_that_cannot_be_listed_stays_due_and_lets_the_others_go_first(stage: Stage, world: World) -> None:
    broken, good = (stage.connect(world.add_grant(platform)).credential_id for platform in (META, TIKTOK))
    assert due(stage) == []
    change(stage, "accounts_read_at = now() - interval '1 day'")
    assert due(stage) == [broken, good]
    with Session(stage.engine) as session, session.begin():
        assert claim_discovery(session, broken, AGAIN_AFTER)
        assert not claim_discovery(session, broken, AGAIN_AFTER)
    assert due(stage) == [good, broken], "a claim alone lists nothing"
    world.faults.add(Fault(FaultKind.STATUS, META, "accounts"))
    find(stage, TIKTOK, good)
    with pytest.raises(PlatformError):
        find(stage, META, broken)
    assert due(stage) == [broken]
    world.faults.clear()
    find(stage, META, broken)
    assert due(stage) == []
    empty = stage.connect(world.add_grant(META, accounts=0), team="Nari")
    assert due(stage) == [empty.credential_id], "it may reach an account soon"


def test_the_end_of_data_access_stays_if_a_listing_lacks_it(stage: Stage, world: World) -> None:
    grant = world.add_grant(META)
    grant.data_access_ends = stage.now() + timedelta(days=5)
    id_ = stage.connect(grant).credential_id
    assert grant_row(stage)["data_access_ends_at"] == grant.data_access_ends
    world.faults.add(Fault(FaultKind.STATUS, META, "debug"))
    find(stage, META, id_)
    assert grant_row(stage)["data_access_ends_at"] == grant.data_access_ends
    stage.connect(grant)
    assert grant_row(stage)["data_access_ends_at"] is None, "a new login is not bound by the old one's end"


@pytest.mark.parametrize("platform", PlatformName)
def test_a_grant_that_must_be_connected_again_waits_for_a_human(
    stage: Stage, world: World, platform: PlatformName
) -> None:
    grant = world.add_grant(platform)
    id_ = stage.connect(grant).credential_id
    change(stage, "accounts_read_at = NULL")
    world.revoke_grant(grant.id)
    with pytest.raises(ReconnectRequired):
        find(stage, platform, id_)
    assert grant_row(stage)["status"] != "active"
    assert len(stage.events) == 1
    assert due(stage) == []


def test_accounts_that_fail_at_once_share_the_first_one_s_discovery(stage: Stage, world: World) -> None:
    grant = world.add_grant(META, accounts=3)
    id_ = stage.connect(grant).credential_id
    with Session(stage.engine) as session:
        rows = accounts_of(session, id_)
    known = {row.id: AdAccount.model_validate(row, from_attributes=True) for row in rows}
    first, second, _ = world.accounts_of(grant)
    first.timezone = second.timezone = "Asia/Tokyo"
    world.faults.latency_seconds = 0.2

    def ask(account_id: int) -> tuple[bool, int]:
        has_changed, changes = rediscover(stage.tokens(META, id_), account_id, known[account_id])
        return has_changed, len(changes)

    with ThreadPoolExecutor() as pool:
        changed = list(pool.map(ask, known))
    assert [has_changed for has_changed, _ in changed] == [True, True, False]
    assert sorted(found for _, found in changed) == [0, 0, 2], "only the one that asked returns what it found"
    assert ask(rows[0].id) == (True, 0), "also later, since it still works with what it had read"
    assert world.faults.calls[META, "accounts"] == 2, "once to connect, and once now"


def test_a_claim_made_while_a_transaction_waited_holds(stage: Stage, world: World) -> None:
    id_ = stage.connect(world.add_grant(META)).credential_id
    with Session(stage.engine) as late, Session(stage.engine) as first:
        late.execute(text("SELECT 1"))  # its transaction starts, and with it now()
        with first.begin():
            assert claim_discovery(first, id_, AGAIN_AFTER)
        assert not claim_discovery(late, id_, AGAIN_AFTER)


def test_a_sync_finds_access_that_remains_only_through_the_manager(stage: Stage, world: World) -> None:
    grant = world.add_grant(GOOGLE)
    stage.connect(grant)
    (account,) = stage.due()
    grant.only_through_manager = True
    with Session(stage.engine) as session:
        tally = SyncTally(SyncMode.FULL, plan_sync(session, SyncOptions(), stage.now()))
    tally.add(account, result := stage.sync(account))
    assert result.outcome is Outcome.SYNCED
    (row,) = stage.rows("SELECT manager_id FROM ad_accounts")
    assert row.manager_id == grant.manager_id
    (change,) = tally.summary().changes
    assert (change.account_id, change.what) == (account.id, f"its manager account was none and is {grant.manager_id}")


def test_what_is_new_about_an_account_is_said_once(stage: Stage, world: World) -> None:
    grant = world.add_grant(META, accounts=2)
    id_ = stage.connect(grant).credential_id
    assert news(stage, id_) == []
    first, second = world.accounts_of(grant)
    first.closed, old = True, second.name
    second.name, second.currency, second.timezone = "Renamed", "CHF", "Asia/Tokyo"
    world.add_grant(META)
    (third,) = world.accounts_of(world.grants[2])
    grant.account_ids.append(third.id)
    [closed, renamed, *others, (new, what)] = news(stage, id_)
    assert (closed, renamed) == ((1, "closed"), (2, f"its name was {old} and is Renamed"))
    assert [what.partition(" was ")[0] for _, what in others] == ["its currency", "its time zone"]
    assert what == "new"
    assert news(stage, id_) == []
    first.closed = False
    assert news(stage, id_) == [(1, "open again")]
    for _ in range(2):
        grant.account_ids.remove(third.id)
        assert news(stage, id_) == [(new, "no longer listed by its grant")]
        assert news(stage, id_) == [], "said once, not every day"
        grant.account_ids.append(third.id)
        assert news(stage, id_) == []


def test_an_account_that_was_left_out_is_not_called_unlisted(stage: Stage, world: World) -> None:
    grant = world.add_grant(META, accounts=3)
    id_ = stage.connect(grant).credential_id
    world.faults.add(Fault(FaultKind.ODD_ROW, META, "accounts", match=grant.account_ids[0], field="currency", value=7))
    found = find(stage, META, id_)
    assert (found.changes, [row.id for row in found.left_out]) == ((), [grant.account_ids[0]])

    amazon = world.add_grant(AMAZON, accounts=3)
    id_ = stage.connect(amazon).credential_id
    region = world.accounts_of(amazon)[0].region
    for status, left_out in ((503, [f"region {region}"]), (401, [])):
        world.faults.clear()
        world.faults.add(Fault(FaultKind.STATUS, AMAZON, "accounts", match=f"/{region}/", status=status))
        found = find(stage, AMAZON, id_)
        assert (found.changes, [row.id for row in found.left_out]) == ((), left_out)
    assert stage.rows("SELECT 1 FROM ad_accounts WHERE unlisted_since IS NOT NULL") == []


def test_only_connecting_again_ends_the_rest_of_accounts_and_their_parts(stage: Stage, world: World) -> None:
    grant, other = world.add_grant(META), world.add_grant(TIKTOK)
    id_ = stage.connect(grant).credential_id
    stage.connect(other)
    for account in stage.due():
        stage.sync(account)
    change(stage, "next_attempt_at = now() + interval '2 hours', failures = 3", "sync_parts")
    change(stage, "next_attempt_at = now() + interval '2 hours', consecutive_failures = 3", "ad_accounts")

    def resting() -> list[int]:
        parts = stage.rows("SELECT account_id FROM sync_parts WHERE next_attempt_at > now() AND failures = 3")
        rows = stage.rows("SELECT id FROM ad_accounts WHERE next_attempt_at > now() AND consecutive_failures = 3")
        assert {row.account_id for row in parts} == {row.id for row in rows}
        return sorted(row.id for row in rows)

    find(stage, META, id_)
    assert resting() == [1, 2]
    stage.connect(grant)
    assert resting() == [2]


def test_a_grant_is_overdue_a_day_after_it_was_due(stage: Stage, world: World) -> None:
    stage.connect(world.add_grant(META))
    for columns, is_overdue in (
        ("accounts_read_at = now() - interval '43 hours', created_at = now() - interval '9 days'", False),
        ("accounts_read_at = now() - interval '45 hours', status_since = now() - interval '9 days'", True),
        ("accounts_read_at = NULL", True),
        ("status_since = now() - interval '1 hour'", False),  # connected again
        ("created_at = now() + interval '1 day', status_since = now() + interval '1 day'", False),
    ):
        change(stage, columns)
        with Session(stage.engine) as session:
            assert [grant.is_overdue for grant in due_grants(session, (), ())] == [is_overdue], columns
