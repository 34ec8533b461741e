"""The rules of alerts: facts in, conditions out, without a database."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from sivera.alerts.conditions import MAX_REASON, REMEDIES, BadGrant, Condition, Kind, StaleAccount
from sivera.alerts.data_rules import data_conditions
from sivera.alerts.job_rules import OWN_JOB, SILENCE, job_conditions, silence
from sivera.history.rules import ANOTHER_INSTANCE, LONG_PAST, Occurrence, Outcome
from sivera.links import Links
from sivera.values import PlatformName

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
LINKS = Links(ui_url="http://127.0.0.1:4200/")
JOB = "sync-campaigns/all"
RUN, OTHER = UUID(int=1), UUID(int=2)
MOST = 3


def at(hour: int, minute: int = 0) -> datetime:
    return NOW.replace(hour=hour, minute=minute)


def became(outcome: str, when: datetime, **more: object) -> Occurrence:
    row = {"deployment": JOB, "job": "sync-campaigns", "schedule": "hourly", "scheduled_at": when, "outcome": outcome}
    return Occurrence.model_validate(row | more)


def ran(hour: int, began: datetime | None = None, outcome: str = "ran") -> Occurrence:
    began = began or at(hour)
    return became(outcome, at(hour), started_at=began, ended_at=began + timedelta(minutes=3), run_id=RUN)


def failed(hour: int, began: datetime | None = None) -> Occurrence:
    return ran(hour, began, "failed")


def waits(hour: int, outcome: str, minute: int = 0) -> Occurrence:
    return became(outcome, at(hour, minute))


def skipped(hour: int, **more: object) -> Occurrence:
    ended = at(hour) + timedelta(seconds=5)
    return became("skipped", at(hour), **{"ended_at": ended, "skipped_by": OTHER} | more)


def by_hand(of: Occurrence) -> Occurrence:
    return of.model_copy(update={"schedule": None})


def found(*occurrences: Occurrence) -> list[Condition]:
    return list(job_conditions(occurrences, NOW, links=LINKS))


@pytest.mark.parametrize(
    ("occurrences", "kinds"),
    [
        ([], []),
        ([ran(11), ran(12)], []),
        # Failed, until a later run succeeds.
        ([ran(11), failed(12)], [(Kind.JOB_FAILED, at(12, 3))]),
        ([ran(10), failed(11), failed(12)], [(Kind.JOB_FAILED, at(11, 3))]),
        ([failed(11), ran(12)], []),
        ([failed(11), ran(12, outcome="running")], [(Kind.JOB_FAILED, at(11, 3))]),
        ([failed(11), skipped(12)], [(Kind.JOB_FAILED, at(11, 3)), (Kind.JOB_SKIPPED, at(12))]),
        # After a downtime the server starts one run, which need not be the one for the latest time.
        ([failed(11), ran(10, began=at(12))], []),
        ([ran(11), failed(10, began=at(12))], [(Kind.JOB_FAILED, at(12, 3))]),
        ([failed(7), waits(8, "missed"), ran(9, began=at(12, 10)), skipped(10), skipped(11)], []),
        # Skipped while another was running, until a later one starts.
        ([ran(11, outcome="running"), skipped(12)], [(Kind.JOB_SKIPPED, at(12))]),
        ([ran(10), skipped(11), skipped(12)], [(Kind.JOB_SKIPPED, at(11))]),
        ([ran(10), skipped(11), ran(12, outcome="running")], []),
        ([ran(11), skipped(12, skipped_by=None, message=ANOTHER_INSTANCE)], [(Kind.JOB_SKIPPED, at(12))]),
        # Cancelled by a person, or because its time was long past: nothing blocked it.
        ([ran(11), skipped(12, skipped_by=None)], []),
        ([ran(11), skipped(12, skipped_by=None, message=LONG_PAST)], []),
        # Cancelled just now, because another one is about to start after a downtime.
        ([ran(11), skipped(12, ended_at=NOW - timedelta(seconds=50))], []),
        ([ran(11), skipped(12, ended_at=NOW - timedelta(seconds=70))], [(Kind.JOB_SKIPPED, at(12))]),
        # Missed, until a later one starts.
        ([ran(10), waits(11, "missed")], [(Kind.JOB_MISSED, at(11))]),
        ([ran(10), waits(11, "missed"), ran(12, outcome="running")], []),
        ([waits(10, "missed"), waits(11, "missed"), waits(12, "late")], [(Kind.JOB_MISSED, at(10))]),
        ([ran(11), waits(12, "late")], [(Kind.JOB_MISSED, at(12))]),
        ([ran(11), waits(12, "waiting")], [(Kind.JOB_MISSED, at(12))]),
        ([ran(11), waits(12, "late", minute=15)], []),
        ([ran(12), waits(13, "waiting")], []),
        # Someone marked a run as completed that never started.
        ([waits(10, "missed"), ran(11).model_copy(update={"started_at": None}), ran(12)], []),
        # A late start is a start.
        ([failed(10), waits(11, "missed"), ran(12, began=at(12, 20), outcome="late")], []),
        # A manual run counts the same: a failure opens an alert, and a success makes up for earlier runs.
        ([ran(11), by_hand(failed(12))], [(Kind.JOB_FAILED, at(12, 3))]),
        ([by_hand(failed(11)), failed(12)], [(Kind.JOB_FAILED, at(11, 3))]),
        ([failed(11), by_hand(ran(12))], []),
        ([waits(11, "missed"), by_hand(ran(12, outcome="running"))], []),
        # The person who starts one sees that it is skipped, or waits.
        ([ran(11), by_hand(skipped(12))], []),
        ([ran(11), by_hand(waits(12, "late"))], []),
    ],
)
def test_what_is_wrong_with_a_job_and_since_when(
    occurrences: list[Occurrence], kinds: list[tuple[Kind, datetime]]
) -> None:
    for order in (occurrences, occurrences[::-1]):
        assert [(one.kind, one.since) for one in found(*order)] == kinds
    assert {one.subject for one in found(*occurrences)} <= {JOB}


def test_deployments_are_judged_separately() -> None:
    other = failed(12).model_copy(update={"deployment": "sync-campaigns/google"})
    assert [one.subject for one in found(ran(11), ran(12), other)] == ["sync-campaigns/google"]


@pytest.mark.parametrize(
    ("ago", "outcome", "kinds"),
    [
        (SILENCE, "ran", []),
        (SILENCE + timedelta(minutes=1), "ran", [Kind.ALERTS_SILENT]),
        (SILENCE + timedelta(minutes=1), "late", [Kind.ALERTS_SILENT]),
        (SILENCE + timedelta(minutes=1), "failed", []),  # no check ever succeeded
    ],
)
def test_check_alerts_is_silent_after_a_while_without_success(ago: timedelta, outcome: str, kinds: list[Kind]) -> None:
    when = NOW - ago
    own = became(outcome, when, deployment="check-alerts/all", job=OWN_JOB, started_at=when, ended_at=when)
    earlier = own.model_copy(update={"ended_at": when - timedelta(hours=1)})
    later = own.model_copy(update={"outcome": Outcome.FAILED, "ended_at": NOW})
    said = list(silence([earlier, own, later, waits(12, "missed")], NOW, LINKS))
    assert [(one.kind, one.since) for one in said] == [(kind, when) for kind in kinds]
    assert [one.title for one in found(later)] == ["check-alerts/all failed"], "the doctor reports this too"


def test_an_alert_on_a_job_says_what_happened_when_and_where() -> None:
    (one,) = found(failed(12).model_copy(update={"message": "47 of 48 accounts synced, 1 failed"}))
    assert one.title == "sync-campaigns/all failed"
    assert one.text == "47 of 48 accounts synced, 1 failed. See docs/operations.md#sync-campaigns."
    assert one.link == f"http://127.0.0.1:4200/runs/flow-run/{RUN}"
    (again,) = found(failed(12).model_copy(update={"message": one.text.rstrip(".")}))
    assert again.text == one.text, "the remedy is not repeated"
    own = "Flow run encountered an exception: ConfigurationError: the block x is missing: run `sivera setup`."
    (again,) = found(failed(12).model_copy(update={"message": own}))
    assert again.text == own
    (one,) = found(failed(12).model_copy(update={"message": "@everyone\n" + "x" * 9_000}))
    assert "\n" not in one.text
    assert len(one.text) < MAX_REASON + 200
    (one,) = found(by_hand(failed(12)))
    assert "No schedule started it: a person, the HTTP API or an automation did. See docs" in one.text

    (one,) = found(ran(11, outcome="running"), skipped(12))
    assert "for 2026-11-24 12:00 UTC was skipped because another one was still running" in one.text
    assert one.link == f"http://127.0.0.1:4200/runs/flow-run/{OTHER}"
    (one,) = found(skipped(12, skipped_by=None, message=ANOTHER_INSTANCE, run_id=RUN))
    assert one.link == f"http://127.0.0.1:4200/runs/flow-run/{RUN}", "the run in its way is unknown"

    (one,) = found(waits(12, "missed"))
    assert "should have run at 2026-11-24 12:00 UTC, but has not started. No worker is running" in one.text
    assert one.link == "http://127.0.0.1:4200/runs"


def account(id_: int, platform: PlatformName = PlatformName.META) -> StaleAccount:
    since = NOW - timedelta(hours=id_)
    return StaleAccount(id=id_, team="Hanok", platform=platform, name=f"Shop {id_}", since=since, error=None)


def alerts(*subjects: str) -> set[tuple[str, str]]:
    return {(Kind.STALE_DATA.value, subject) for subject in subjects}


@pytest.mark.parametrize(
    ("ids", "already", "subjects"),
    [
        ([], alerts(), []),
        ([1, 2, 3], alerts(), ["account-1", "account-2", "account-3"]),
        ([1, 2, 3, 4], alerts(), ["meta"]),
        # The platform keeps its alert until few accounts are left, which then have their own.
        ([1, 2], alerts("meta"), ["meta"]),
        ([1], alerts("meta"), ["account-1"]),
        ([], alerts("meta"), []),
        # An account with an alert keeps it.
        ([1, 2, 3, 4], alerts("account-1"), ["account-1", "account-2", "account-3", "account-4"]),
        ([1, 2, 3, 4, 5], alerts("account-1"), ["account-1", "meta"]),
        ([1], alerts("account-1", "meta"), ["account-1"]),
    ],
)
def test_many_accounts_of_a_platform_share_one_alert(
    ids: list[int], already: Collection[tuple[str, str]], subjects: list[str]
) -> None:
    conditions = data_conditions([], [account(id_) for id_ in ids], already, MOST, LINKS)
    assert [one.subject for one in conditions] == subjects


def test_platforms_are_counted_separately_and_a_stale_account_is_named_with_its_remedy() -> None:
    lacking = account(9, PlatformName.TIKTOK)._replace(error="the platform is down.")
    many, one = data_conditions([], [*(account(id_) for id_ in range(1, 5)), lacking], set(), MOST, LINKS)
    assert (many.subject, many.title) == ("meta", "4 accounts of meta have old data")
    assert many.since == NOW - timedelta(hours=4)
    assert one.title == "tiktok account 9 (Shop 9) of team Hanok was not synced"
    assert one.text == f"The platform is down. {REMEDIES[Kind.STALE_DATA]}"
    assert one.link == "http://127.0.0.1:4200/artifacts/key/sync-campaigns-failures"


def grant(id_: int, *accounts: str) -> BadGrant:
    reason = "no longer takes the refresh token"
    return BadGrant(id_, "Northwind Goods", PlatformName.GOOGLE, "main", reason, since=NOW, accounts=accounts)


def test_a_grant_is_named_with_team_platform_and_accounts() -> None:
    (one,) = data_conditions([grant(7, *"ABCDEFG")], [], set(), MOST, Links())
    assert (one.kind, one.subject, one.since, one.link) == (Kind.REAUTHORIZATION_REQUIRED, "7", NOW, "")
    assert one.title == "google grant 7 (main) of team Northwind Goods must be connected again"
    assert one.message.startswith("No longer takes the refresh token. It has the accounts A, B, C, D, E and 2 more;")
    (many,) = data_conditions([grant(id_) for id_ in range(4)], [], set(), MOST, LINKS)
    assert (many.subject, many.title) == ("google", "4 grants of google must be connected again")
