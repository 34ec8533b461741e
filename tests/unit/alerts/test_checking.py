"""A check on a real PostgreSQL: what opens an alert, what updates it, and what closes it."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from ops.commands.accounts import why_not
from sandbox.world import World
from sivera.accounts.queries import accounts_by_age, count_ahead
from sivera.alerts.changes import CLOSED, OPENED, AlertEvent, write_changes
from sivera.alerts.checking import CheckSummary, check_alerts
from sivera.alerts.conditions import Condition, Kind
from sivera.alerts.job_rules import OWN_JOB, SILENCE
from sivera.alerts.options import AlertOptions, Channel
from sivera.alerts.queries import list_open, lock_alerts, stale_accounts
from sivera.clock import read_clock, utc_now
from sivera.history.rules import Occurrence
from sivera.links import Links
from sivera.models import AdAccount
from sivera.values import PlatformName
from tests.stage import Stage


@pytest.fixture
def world() -> World:
    """A world in real time, like the check."""
    return World(seed=7)


def check(stage: Stage, occurrences: Sequence[Occurrence] | None = (), **options: int) -> CheckSummary:
    return check_alerts(stage.engine, Links(), AlertOptions(**options), occurrences)


def connect(stage: Stage, world: World, platform: PlatformName, accounts: int = 1, hours: int = 216) -> None:
    """Connect accounts this many hours ago."""
    stage.connect(world.add_grant(platform, accounts=accounts))
    stage.execute("UPDATE platform_credentials SET status_since = now() - interval '1 hour' * :hours", hours=hours)
    stage.execute("UPDATE ad_accounts SET created_at = now() - interval '1 hour' * :hours", hours=hours)


def events_of(summary: CheckSummary) -> list[tuple[str, str]]:
    return [(event.name, event.resource.removeprefix("sivera.alert.")) for event in summary.events]


def occurrence(minutes_ago: float, outcome: str, job: str = "sync-campaigns") -> Occurrence:
    when = utc_now() - timedelta(minutes=minutes_ago)
    row = {"deployment": f"{job}/all", "job": job, "schedule": "hourly", "scheduled_at": when, "outcome": outcome}
    return Occurrence.model_validate(row | {"started_at": when, "ended_at": when, "message": "so it was"})


def test_a_failed_job_opens_one_alert_and_the_next_run_closes_it(stage: Stage) -> None:
    runs = [occurrence(180, "ran"), occurrence(120, "failed")]
    first = check(stage, runs)
    assert (first.opened, first.closed, first.still_open) == (("sync-campaigns/all failed",), (), 1)
    assert events_of(first) == [(OPENED, "job-failed.sync-campaigns/all")]
    runs.append(occurrence(60, "failed"))
    assert check(stage, runs).sentence == "1 open, 0 of them new, 0 over"
    assert check(stage, None).sentence == "1 open, 0 of them new, 0 over", "it stays open if the history is unknown"
    runs.append(occurrence(0, "ran"))
    last = check(stage, runs)
    assert events_of(last) == [(CLOSED, "job-failed.sync-campaigns/all")]
    assert last.sentence == "0 open, 0 of them new, 1 over"
    assert last.events[0].payload.keys() == {"kind", "subject", "title", "message", "since", "link"}
    assert datetime.fromisoformat(last.events[0].payload["since"]).utcoffset() == timedelta(0)
    assert check(stage, runs).events == ()
    assert check(stage, [*runs, occurrence(0, "failed")]).opened == first.opened, "a new failure is news"


def test_a_silence_is_over_once_a_check_succeeds(stage: Stage) -> None:
    silent = occurrence(SILENCE.total_seconds() / 60 + 1, "ran", OWN_JOB)
    failed = occurrence(5, "failed", OWN_JOB)
    assert check(stage, [silent, failed]).opened == ("check-alerts does not do its work",)
    (alert,) = stage.rows("SELECT open_receipts FROM alerts")
    assert alert.open_receipts.keys() == set(Channel), "the Prefect server has sent this message"
    assert check(stage, [silent]).events == ()
    assert check(stage, [silent, occurrence(5, "ran", OWN_JOB)]).closed == ("check-alerts does not do its work",)


def test_a_revoked_grant_opens_one_alert_and_its_accounts_are_not_stale(stage: Stage, world: World) -> None:
    connection = stage.connect(world.add_grant(PlatformName.META, accounts=3), team="Northwind Goods")
    stage.execute("UPDATE ad_accounts SET created_at = now() - interval '1 day'")
    stage.execute("UPDATE ad_accounts SET status = 'closed' WHERE id = (SELECT max(id) FROM ad_accounts)")
    stage.execute(
        "UPDATE platform_credentials SET status = 'revoked', status_reason = 'its user took it away', "
        "status_since = now() - interval '5 hours'",
    )
    summary = check(stage, None)
    id_ = connection.credential_id
    assert summary.opened == (f"meta grant {id_} (main) of team Northwind Goods must be connected again",)
    assert events_of(summary) == [(OPENED, f"reauthorization-required.{id_}")]
    names = [row.name for row in stage.rows("SELECT name FROM ad_accounts ORDER BY id")]
    assert f"It has the accounts {names[0]}, {names[1]};" in summary.events[0].payload["message"]
    assert check(stage).events == ()
    stage.execute("UPDATE platform_credentials SET status = 'active', status_reason = NULL, status_since = now()")
    again = check(stage)
    assert (again.closed, again.still_open) == (summary.opened, 0), "its accounts get time to be synced"


PRODUCTS, BRANDS = "SPONSORED_PRODUCTS", "SPONSORED_BRANDS"
NO_REPORTS = "gets no reports of its metrics: Its campaigns are synced, but their spending is not known."


@pytest.mark.parametrize(
    ("synced", "full", "reports", "said"),
    [
        (2.9, 1, {}, None),
        (3.1, 1, {}, "was not synced: No run has got to it."),
        (0, 47, {}, None),
        (0, 49, {}, "had no good full sync for two days: Its hourly syncs work, but its full ones fail."),
        # Reports may be late.
        (0, 0, {PRODUCTS: 1, BRANDS: 20}, None),
        (0, 0, {PRODUCTS: 1, BRANDS: 22}, NO_REPORTS),
        # The sync itself stopped.
        (4, 0, {PRODUCTS: 30, BRANDS: 30}, "was not synced: No run has got to it."),
        # A time ahead of the clock is ignored.
        (-48, -48, {}, "was not synced: No run has got to it."),
        (0, 0, {PRODUCTS: -216}, NO_REPORTS),
    ],
)
def test_when_an_account_is_stale(
    stage: Stage, world: World, synced: float, full: float, reports: dict[str, float], said: str | None
) -> None:
    """The numbers are hours since the last sync, the last full one, and the reported figures."""
    connect(stage, world, PlatformName.AMAZON)
    stage.execute(
        """UPDATE ad_accounts SET last_synced_at = now() - interval '1 hour' * :synced,
                                  last_full_sync_at = now() - interval '1 hour' * :full""",
        synced=synced,
        full=full,
    )
    for product, hours in reports.items():
        stage.execute(
            """INSERT INTO sync_parts (account_id, kind, ad_product, figures_as_of)
               SELECT id, 'metrics', :product, now() - interval '1 hour' * :hours FROM ad_accounts""",
            product=product,
            hours=hours,
        )
    found = [event.payload for event in check(stage).events]
    assert len(found) == (said is not None)
    assert all(f"{one['title']}: {one['message']}".partition("team Hanok ")[2].startswith(said or "") for one in found)
    stage.execute("UPDATE ad_accounts SET last_synced_at = now(), last_full_sync_at = now()")
    stage.execute("UPDATE sync_parts SET figures_as_of = now()")
    assert len(check(stage).closed) == len(found)


def test_options_set_when_an_account_is_stale_and_how_many_share_an_alert(stage: Stage, world: World) -> None:
    connect(stage, world, PlatformName.TIKTOK, accounts=2, hours=4)
    stage.execute("UPDATE ad_accounts SET last_error = 'It is refused'")
    assert check(stage, stale_hours=5).still_open == 0
    many = check(stage, most_of_platform=1)
    assert many.opened == ("2 accounts of tiktok have old data",)
    both = check(stage)
    assert (len(both.opened), both.closed) == (2, many.opened)
    assert both.events[0].payload["message"].startswith("It is refused. 'sivera accounts list' says what to do about")
    stage.execute("UPDATE ad_accounts SET status = 'closed'")
    assert check(stage).closed == both.opened


def test_times_ahead_of_the_clock_are_ignored(stage: Stage, world: World) -> None:
    connect(stage, world, PlatformName.GOOGLE)
    stage.execute("UPDATE platform_credentials SET status_since = now() + interval '2 days'")
    stage.execute(
        "UPDATE ad_accounts SET next_attempt_at = now() + interval '3 days', "
        "last_synced_at = now() + interval '2 days', last_full_sync_at = now() + interval '2 days'",
    )
    assert check(stage).opened[0].endswith("was not synced")
    with Session(stage.engine) as session:
        (stale,) = stale_accounts(session, timedelta(hours=2))
        assert count_ahead(session) == 1
        assert [tuple(row) for row in accounts_by_age(session, [timedelta(hours=1)])] == [("google", None, 1)]
        account, now = session.get_one(AdAccount, stale.id), read_clock(session)
        said = why_not(account, "active", None, now, ())
    assert "ahead of the database's clock, and is ignored" in said
    assert "Runs skip it" not in said


def test_an_account_synced_while_a_check_waits_is_not_stale(stage: Stage, world: World) -> None:
    connect(stage, world, PlatformName.GOOGLE)
    with Session(stage.engine) as session:
        lock_alerts(session)
        stage.execute("UPDATE ad_accounts SET last_synced_at = clock_timestamp()")
        stage.execute("UPDATE ad_accounts SET last_full_sync_at = last_synced_at")
        assert stale_accounts(session, timedelta(hours=2)) == []


def test_a_grant_that_will_soon_get_no_data_opens_an_alert(stage: Stage, world: World) -> None:
    stage.connect(world.add_grant(PlatformName.META), team="Northwind Goods")
    stage.execute("UPDATE platform_credentials SET data_access_ends_at = now() + interval '11 days'")
    assert check(stage).still_open == 0
    stage.execute("UPDATE platform_credentials SET data_access_ends_at = now() + interval '9 days'")
    (title,) = check(stage).opened
    assert title.startswith("meta grant ")
    assert "of team Northwind Goods gets no data from" in title
    stage.execute("UPDATE platform_credentials SET data_access_ends_at = now() + interval '90 days'")
    assert check(stage).closed == (title,)
    # Until its last day, an access token without a refresh token may still be renewed.
    for hours, refresh_token, opened in ((25, None, 0), (23, b"secret", 0), (23, None, 1)):
        stage.execute(
            "UPDATE platform_credentials SET expires_at = now() + interval '1 hour' * :hours, refresh_token = :token",
            hours=hours,
            token=refresh_token,
        )
        assert check(stage).still_open == opened


def write(stage: Stage, *conditions: Condition, reasons: dict[str, str] | None = None) -> list[AlertEvent]:
    with Session(stage.engine) as session, session.begin():
        lock_alerts(session)
        return write_changes(session, list_open(session), conditions, read_clock(session), reasons)


def budget(level: int, title: str = "t") -> Condition:
    since = datetime(2026, 11, 24, tzinfo=UTC)
    return Condition(kind=Kind.BUDGET, subject="b", title=title, message="m", remedy="", since=since, level=level)


def test_a_rising_level_is_news_and_a_falling_one_is_not(stage: Stage) -> None:
    levels = [[event.payload["threshold"] for event in write(stage, budget(level))] for level in (80, 80, 100, 50, 80)]
    assert levels == [[80], [], [100], [], [80]]
    (alert,) = stage.rows("SELECT level, raised_at, opened_at, since FROM alerts")
    assert alert.raised_at > alert.opened_at
    assert write(stage, budget(80, title="later")) == []
    assert [row.title for row in stage.rows("SELECT title FROM alerts")] == ["later"], "the text is kept up to date"
    assert (check(stage).closed, check(stage).still_open) == ((), 1), "another check is not responsible for it"
    (event,) = write(stage, reasons={"b": "Its period is over."})
    assert (event.name, event.payload["message"]) == (CLOSED, "Its period is over.")
    assert [row.closed_because for row in stage.rows("SELECT closed_because FROM alerts")] == ["Its period is over."]


def test_simultaneous_checks_open_and_close_once(stage: Stage) -> None:
    barrier = threading.Barrier(4)

    def one(occurrences: Sequence[Occurrence]) -> list[str]:
        barrier.wait()
        return [name for name, _ in events_of(check(stage, occurrences))]

    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(one, [[occurrence(60, "failed")]] * 4))
        closed = list(pool.map(one, [[]] * 4))
    assert sorted(opened) == [[], [], [], [OPENED]]
    assert sorted(closed) == [[], [], [], [CLOSED]]
