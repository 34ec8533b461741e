"""What refresh-tokens does: which grants are due, what a run's failures mean, and poisoned rows beside good ones."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from sandbox.faults import Fault, FaultKind
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.breaker import Breaker
from sivera.crypto import UndecryptableError
from sivera.errors import ConfigurationError, LeftAlone, SiveraError, Unavailable
from sivera.grants.refreshing import (
    DueGrant,
    RefreshOptions,
    RefreshTally,
    Result,
    judge_failures,
    plan_refresh,
    renew_due,
)
from sivera.grants.rules import PROOF_EVERY
from sivera.reasons import is_worth_a_retry
from sivera.values import PlatformName
from tests.stage import Stage

GOOGLE, META, AMAZON, TIKTOK = PlatformName
DAY = timedelta(days=1)
GRANTS = tuple(DueGrant(id=n, platform=META, team=f"Team {n}", name="main", generation=1) for n in range(6))


def find(stage: Stage, **options: object) -> tuple[DueGrant, ...]:
    with Session(stage.engine) as session:
        return plan_refresh(session, RefreshOptions.model_validate(options))


def plan(stage: Stage, **options: object) -> list[int]:
    return [grant.id for grant in find(stage, **options)]


def run(stage: Stage) -> RefreshTally:
    """A run of refresh-tokens without Prefect, in a process of its own: each grant is tried as its task tries it."""
    found = find(stage)
    tally = RefreshTally(found)
    stage.breaker = Breaker()
    stage.client.cache_clear()
    stage.tokens.cache_clear()
    for grant in found:
        tally.add(grant, attempt(stage, grant))
    judge_failures(stage.renewal_dependencies(), tally, stage.breaker.silent())
    return tally


def attempt(stage: Stage, grant: DueGrant) -> Result | Exception:
    for last in (False, False, True):
        try:
            return renew_due(stage.tokens(grant.platform, grant.id), grant)
        except SiveraError as error:
            if last or not is_worth_a_retry(error):
                return error
    raise AssertionError


def connect(stage: Stage, platform: PlatformName, team: str) -> tuple[Grant, int]:
    grant = stage.world.add_grant(platform)
    return grant, stage.connect(grant, team=team).credential_id


def statuses(stage: Stage) -> set[str]:
    return {row.status for row in stage.rows("SELECT status FROM platform_credentials")}


def events(stage: Stage) -> list[tuple[str, str]]:
    return [(name, resource) for name, resource, _ in stage.events]


def set_column(stage: Stage, id_: int, assignment: str) -> None:
    stage.execute(f"UPDATE platform_credentials SET {assignment} WHERE id = :id", id=id_)  # noqa: S608


def test_grants_in_doubt_come_first_and_then_the_next_to_expire(stage: Stage) -> None:
    ids = [connect(stage, META, f"Team {n}")[1] for n in range(6)]
    for id_, hours in zip(ids, (30, 10, 20, 400, 1, 2), strict=True):
        set_column(stage, id_, f"expires_at = now() + interval '{hours} hours'")
    set_column(stage, ids[4], "status = 'reauthorization_required'")
    set_column(stage, ids[5], "next_attempt_at = now() + interval '1 minute'")
    assert plan(stage) == [ids[1], ids[2], ids[0]]
    # Written by a clock that was two days ahead.
    set_column(stage, ids[1], "next_attempt_at = now() + interval '2 days'")
    set_column(stage, ids[2], "lease_until = now() + interval '2 days', lease_owner = 'dead'")
    assert plan(stage) == [ids[1], ids[2], ids[0]]
    in_doubt = """INSERT INTO token_refresh_logs (credential_id, platform, generation, token_fingerprint, owner,
                  deadline) VALUES (:id, 'meta', 1, 'f', 'dead', now())"""
    stage.execute(in_doubt, id=ids[3])
    assert plan(stage) == [ids[3], ids[1], ids[2], ids[0]]
    set_column(stage, ids[1], "lease_until = now() + interval '1 minute', lease_owner = 'another'")
    assert plan(stage) == [ids[3], ids[2], ids[0]]


def test_each_platform_has_its_window_and_a_run_can_be_limited_to_platforms_and_teams(stage: Stage) -> None:
    ids = {platform: connect(stage, platform, f"Of {platform}")[1] for platform in (GOOGLE, AMAZON, META)}
    for platform, id_ in ids.items():
        days = 10 if platform is META else 1
        set_column(stage, id_, f"expires_at = now() + interval '{days} days 1 minute'")
        assert not plan(stage, platforms=[platform])
        assert plan(stage, platforms=[platform], window_hours={platform: 24 * days + 1}) == [id_]
        set_column(stage, id_, f"expires_at = now() + interval '{days} days' - interval '1 minute'")
        assert plan(stage, platforms=[platform]) == [id_]
        assert not plan(stage, platforms=[platform], window_hours={platform: 24 * days - 1})
        assert plan(stage, teams=[f"Of {platform}"]) == [id_]
        set_column(stage, id_, "expires_at = now() + interval '99 days'")
    with pytest.raises(ConfigurationError, match="there is no team 'Nobody'"):
        plan(stage, teams=["Nobody"])


def test_a_token_that_does_not_expire_is_checked_once_a_day(stage: Stage, world: World) -> None:
    grant, id_ = connect(stage, TIKTOK, "Hanok")
    assert not plan(stage)
    set_column(stage, id_, "last_renewed_at = now() + interval '2 days'")
    assert plan(stage) == [id_], "a time ahead of the clock is ignored"
    set_column(stage, id_, "last_renewed_at = now()")
    stage.pass_time(PROOF_EVERY)
    calls = world.faults.count(TIKTOK)
    assert run(stage).summary().sentence == "1 of 1 grant renewed"
    assert world.faults.count(TIKTOK) == calls + 1
    assert not plan(stage)
    stage.pass_time(PROOF_EVERY)
    world.revoke_grant(grant.id)
    assert run(stage).summary().total.reauthorization_required == 1
    assert statuses(stage) == {"revoked"}


@pytest.mark.parametrize("kind", [FaultKind.STATUS, FaultKind.DISCONNECT])
def test_an_outage_marks_no_grant_and_is_reported_once(stage: Stage, world: World, kind: FaultKind) -> None:
    for n in range(4):
        connect(stage, AMAZON, f"Team {n}")
    connect(stage, GOOGLE, "Team 0")
    world.faults.add(Fault(kind, AMAZON, "token"))
    for _ in range(2):
        stage.pass_time(timedelta(hours=3))
        summary = run(stage).summary()
        assert summary.platforms["google"].renewed == 1
        assert summary.platforms["amazon"].renewed == 0
        assert summary.platforms["amazon"].failed > 0
    assert statuses(stage) == {"active"}
    assert stage.rows("SELECT max(strikes) AS n FROM platform_credentials")[0].n == 0
    assert events(stage) == [("sivera.platform.down", "sivera.platform.amazon")]
    world.faults.clear()
    stage.pass_time(timedelta(hours=1))
    for _ in range(2):
        assert run(stage).summary().success
        assert events(stage)[1:] == [("sivera.platform.recovered", "sivera.platform.amazon")], "reported once"


def test_a_failure_of_our_database_is_not_an_outage_of_the_platform(stage: Stage) -> None:
    tally = RefreshTally(GRANTS)
    for grant in GRANTS[1:]:
        tally.add(grant, OperationalError("", {}, Exception()))
    tally.add(GRANTS[0], LeftAlone(META, "not tried"))
    assert judge_failures(stage.renewal_dependencies(), tally, silent=()) == ()
    assert not events(stage)
    assert tally.summary().total.failed == 6


def test_a_platform_that_renews_a_grant_and_then_is_silent_has_not_recovered(stage: Stage) -> None:
    deps, tally = stage.renewal_dependencies(), RefreshTally(GRANTS[:1])
    tally.add(GRANTS[0], Unavailable(META, "did not answer"))
    assert judge_failures(deps, tally, {META}) == (META,)
    tally.add(GRANTS[0], Result.RENEWED)
    for silent, reported in (({META}, 1), (set[PlatformName](), 2)):
        assert judge_failures(deps, tally, silent) == ()
        assert len(events(stage)) == reported


def test_after_four_days_of_failures_a_human_is_asked_once_and_a_renewal_resets_the_count(
    stage: Stage, world: World
) -> None:
    """The platform cannot renew one grant, while it renews those of others."""
    grant, id_ = connect(stage, AMAZON, "Unlucky")
    for n in range(2):
        connect(stage, AMAZON, f"Team {n}")
    set_column(stage, id_, "last_strike_on = current_date + 9")  # ahead of the clock
    for days in (3, 4):
        refresh = world.issue_refresh(grant).replace("|", "%7C")
        world.faults.add(Fault(FaultKind.STATUS, AMAZON, "token", match=refresh))
        for day in range(1, days + 1):
            stage.age(DAY)
            tally = run(stage)
            judge_failures(stage.renewal_dependencies(), tally, ())  # a second run on that day
            (row,) = stage.rows("SELECT status, strikes FROM platform_credentials WHERE id = :id", id=id_)
            assert tuple(row) == ("reauthorization_required" if day == 4 else "active", day)
        world.faults.clear()
        stage.age(DAY)
        assert run(stage).summary().success
        (row,) = stage.rows("SELECT strikes FROM platform_credentials WHERE id = :id", id=id_)
        assert (row.strikes == 0) == (days == 3), "nobody renews a grant that waits for a human"
    assert events(stage) == [("sivera.grant.reauthorization-required", f"sivera.grant.{id_}")]


def test_poisoned_rows_are_named_and_the_others_are_renewed(stage: Stage) -> None:
    _, undecryptable = connect(stage, GOOGLE, "Hanok")
    _, endless = connect(stage, GOOGLE, "Moa")
    _, tokenless = connect(stage, AMAZON, "Dami")
    good = [connect(stage, platform, f"Team {n}")[1] for n, platform in enumerate((GOOGLE, AMAZON, META))]
    stage.pass_time(DAY)
    set_column(stage, undecryptable, "access_token = set_byte(access_token, 20, 255 - get_byte(access_token, 20))")
    set_column(stage, endless, "expires_at = NULL")
    set_column(stage, tokenless, "access_token = NULL")
    set_column(stage, good[2], "expires_at = now() + interval '1 day'")
    tally = run(stage)
    summary = tally.summary()
    reasons = {failure.id: failure.reason for failure in summary.failures}
    assert reasons.keys() == {undecryptable, tokenless}
    assert "does not decrypt" in reasons[undecryptable]
    assert {id_ for id_, ended in tally.ended.items() if ended is Result.RENEWED} == {endless, *good}
    assert summary.sentence == "4 of 6 grants renewed, 2 failed"
    assert statuses(stage) == {"active"}
    (row,) = stage.rows("SELECT expires_at FROM platform_credentials WHERE id = :id", id=endless)
    assert row.expires_at is not None


def test_each_grant_is_counted_once() -> None:
    tally = RefreshTally(GRANTS)
    assert tally.add(GRANTS[0], Result.AGAIN) == 0
    results = (Result.RENEWED, Result.ELSEWHERE, Result.PUT_OFF, UndecryptableError("damaged"), object())
    for grant, result in zip(GRANTS, results, strict=False):
        assert tally.add(grant, result) is None
    summary = tally.summary()
    total = summary.total
    assert (total.due, total.renewed, total.elsewhere, total.put_off, total.failed) == (6, 1, 1, 2, 2)
    assert summary.sentence == "1 of 6 grants renewed, 2 failed, 1 renewed by others, 2 put off to the next run"
    assert not summary.success
