"""What refresh-tokens does: which grants are due, what a run's failures mean, and poisoned rows beside good ones."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from sandbox.faults import Fault, FaultKind
from sandbox.world import Grant, World
from sivera.crypto import UndecryptableError
from sivera.errors import ConfigurationError, LeftAlone, SiveraError
from sivera.grants.refreshing import (
    DueGrant,
    RefreshOptions,
    RefreshPlan,
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

AMAZON, GOOGLE, META, TIKTOK = (
    PlatformName.AMAZON,
    PlatformName.GOOGLE,
    PlatformName.META,
    PlatformName.TIKTOK,
)
DAY = timedelta(days=1)


def plan(stage: Stage, **options: object) -> RefreshPlan:
    with Session(stage.engine) as session:
        return plan_refresh(session, RefreshOptions.model_validate(options))


def run(stage: Stage, **options: object) -> RefreshTally:
    """A run of refresh-tokens without Prefect: each grant is tried, and tried again as its task is."""
    found = plan(stage, **options)
    tally = RefreshTally(found)
    stage.breaker = type(stage.breaker)()  # of a process of its own
    stage.client.cache_clear()
    stage.tokens.cache_clear()
    for grant in found.due:
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


def connect(stage: Stage, platform: PlatformName, team: str, **facts: bool) -> tuple[Grant, int]:
    grant = stage.world.add_grant(platform, **facts)  # type: ignore[arg-type]
    return grant, stage.connect(grant, team=team).credential_id


def statuses(stage: Stage) -> Mapping[int, str]:
    return {row.id: row.status for row in stage.rows("SELECT id, status FROM platform_credentials")}


def events(stage: Stage) -> list[tuple[str, str]]:
    return [(name, resource) for name, resource, _ in stage.events]


def set_column(stage: Stage, id_: int, assignment: str) -> None:
    with stage.engine.begin() as connection:
        connection.execute(text(f"UPDATE platform_credentials SET {assignment} WHERE id = :id"), {"id": id_})  # noqa: S608


def await_midnight(stage: Stage) -> None:
    """If the day (UTC) ends within a minute, wait for the next: the test must lie within one."""
    about_to_end = "SELECT now() + interval '1 minute' > date_trunc('day', now()) + interval '1 day' AS it_is"
    retrying = Retrying(stop=stop_after_delay(90), wait=wait_fixed(0.2), retry=retry_if_result(bool))
    retrying(lambda: stage.rows(about_to_end)[0].it_is)


class TestPlan:
    def test_the_soonest_to_end_comes_first_and_what_is_in_doubt_before_all(self, stage: Stage) -> None:
        ids = [connect(stage, META, f"Team {n}")[1] for n in range(4)]
        for id_, hours in zip(ids, (30, 10, 20, 400), strict=True):
            set_column(stage, id_, f"expires_at = now() + interval '{hours} hours'")
        assert [grant.id for grant in plan(stage).due] == [ids[1], ids[2], ids[0]]
        with stage.engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO token_refresh_logs "
                    "(credential_id, platform, generation, token_fingerprint, owner, deadline) "
                    "VALUES (:id, 'meta', 1, 'f', 'dead', now())"
                ),
                {"id": ids[3]},
            )
        assert [grant.id for grant in plan(stage).due] == [ids[3], ids[1], ids[2], ids[0]]

    @pytest.mark.parametrize(("platform", "days"), [(GOOGLE, 1), (AMAZON, 1), (META, 10)])
    def test_each_platform_has_its_window(self, stage: Stage, platform: PlatformName, days: int) -> None:
        _, id_ = connect(stage, platform, "Hanok")
        set_column(stage, id_, f"expires_at = now() + interval '{days} days 1 minute'")
        assert not plan(stage).due
        assert plan(stage, window_hours={platform: 24 * days + 1}).due
        set_column(stage, id_, f"expires_at = now() + interval '{days} days' - interval '1 minute'")
        assert [grant.id for grant in plan(stage).due] == [id_]
        assert not plan(stage, window_hours={platform: 24 * days - 1}).due

    def test_a_token_without_an_end_is_proven_once_a_day(self, stage: Stage, world: World) -> None:
        grant, id_ = connect(stage, TIKTOK, "Hanok")
        assert not plan(stage).due
        stage.pass_time(PROOF_EVERY)
        calls = world.faults.count(TIKTOK)
        assert run(stage).summary().sentence == "1 of 1 grants renewed"
        assert world.faults.count(TIKTOK) == calls + 1
        assert not plan(stage).due
        stage.pass_time(PROOF_EVERY)
        world.revoke_grant(grant.id)
        assert run(stage).summary().total.reauthorization_required == 1
        assert statuses(stage) == {id_: "revoked"}

    def test_teams_and_platforms_can_be_chosen_and_a_team_that_does_not_exist_is_named(self, stage: Stage) -> None:
        _, hanok = connect(stage, GOOGLE, "Hanok")
        _, nari = connect(stage, AMAZON, "Nari")
        assert [grant.id for grant in plan(stage, teams=["Nari"]).due] == [nari]
        assert [grant.id for grant in plan(stage, platforms=["google"]).due] == [hanok]
        with pytest.raises(ConfigurationError, match="there is no team 'Nobody'"):
            plan(stage, teams=["Nobody"])

    def test_a_grant_that_waits_for_a_human_or_has_just_failed_is_not_due(self, stage: Stage) -> None:
        _, waiting = connect(stage, GOOGLE, "Hanok")
        _, tried = connect(stage, GOOGLE, "Nari")
        set_column(stage, waiting, "status = 'reauthorization_required'")
        set_column(stage, tried, "next_attempt_at = now() + interval '1 minute'")
        assert not plan(stage).due


class TestOutages:
    def test_six_hours_of_5xx_for_all_tenants_mark_no_grant_and_alert_once(self, stage: Stage, world: World) -> None:
        for n in range(4):
            connect(stage, AMAZON, f"Team {n}")
        connect(stage, GOOGLE, "Team 0")
        world.faults.add(Fault(FaultKind.STATUS, AMAZON, "token"))
        for _ in range(2):
            stage.pass_time(timedelta(hours=3))
            summary = run(stage).summary()
            assert summary.platforms["google"].renewed == 1
            assert summary.platforms["amazon"].renewed == 0
            assert summary.platforms["amazon"].failed > 0
        assert set(statuses(stage).values()) == {"active"}
        assert stage.rows("SELECT max(strikes) AS n FROM platform_credentials")[0].n == 0
        assert events(stage) == [("sivera.platform.down", "sivera.platform.amazon")]
        world.faults.clear()
        stage.pass_time(timedelta(hours=1))
        assert run(stage).summary().success
        assert events(stage)[1:] == [("sivera.platform.recovered", "sivera.platform.amazon")]
        assert run(stage).summary().success
        assert len(events(stage)) == 2, "said once"

    def test_days_of_silence_mark_no_grant_either(self, stage: Stage, world: World) -> None:
        for n in range(3):
            connect(stage, AMAZON, f"Team {n}")
        world.faults.add(Fault(FaultKind.DISCONNECT, AMAZON, "token"))
        for _ in range(5):
            stage.pass_time(DAY)
            run(stage)
        assert set(statuses(stage).values()) == {"active"}
        assert [name for name, _ in events(stage)] == ["sivera.platform.down"]

    def test_a_failure_of_our_database_is_no_outage_of_the_platform(self, stage: Stage) -> None:
        grants = tuple(DueGrant(id=n, platform=AMAZON, team=f"Team {n}", name="main", generation=1) for n in range(5))
        tally = RefreshTally(RefreshPlan(due=grants, unknown=()))
        for grant, error in zip(
            grants,
            (*(OperationalError("", {}, Exception()) for _ in range(4)), LeftAlone(AMAZON, "not tried")),
            strict=True,
        ):
            tally.add(grant, error)
        assert judge_failures(stage.renewal_dependencies(), tally, silent=()) == ()
        assert not events(stage)
        assert tally.summary().total.failed == 5


class TestStrikes:
    def broken(self, stage: Stage) -> int:
        """One grant that its platform cannot renew, while it renews those of others."""
        grant, id_ = connect(stage, AMAZON, "Unlucky")
        for n in range(2):
            connect(stage, AMAZON, f"Team {n}")
        refresh = stage.world.issue_refresh(grant).replace("|", "%7C")
        stage.world.faults.add(Fault(FaultKind.STATUS, AMAZON, "token", match=refresh))
        return id_

    def test_four_days_of_failures_alone_ask_a_human_and_say_so_once(self, stage: Stage) -> None:
        id_ = self.broken(stage)
        await_midnight(stage)
        for day in range(1, 5):
            for _ in range(2):  # one strike a day, however often it fails
                stage.age(timedelta(hours=1, minutes=10))
                run(stage)
            (row,) = stage.rows("SELECT status, strikes FROM platform_credentials WHERE id = :id", id=id_)
            assert row.strikes == day
            assert row.status == ("reauthorization_required" if day == 4 else "active")
            stage.age(DAY)
        assert events(stage) == [("sivera.grant.reauthorization-required", f"sivera.grant.{id_}")]
        assert set(statuses(stage).values()) == {"active", "reauthorization_required"}

    def test_a_renewal_forgets_the_strikes(self, stage: Stage) -> None:
        id_ = self.broken(stage)
        for _ in range(3):
            stage.age(DAY)
            run(stage)
        stage.world.faults.clear()
        stage.age(DAY)
        assert run(stage).summary().success
        (row,) = stage.rows("SELECT strikes, last_strike_on, failures FROM platform_credentials WHERE id = :i", i=id_)
        assert tuple(row) == (0, None, 0)


class TestPoisonedRows:
    def test_they_are_named_and_the_others_are_renewed(self, stage: Stage) -> None:
        _, undecryptable = connect(stage, GOOGLE, "Hanok")
        _, unknown = connect(stage, GOOGLE, "Nari")
        _, endless = connect(stage, GOOGLE, "Moa")
        _, tokenless = connect(stage, AMAZON, "Dami")
        good = [connect(stage, platform, f"Team {n}")[1] for n, platform in enumerate((GOOGLE, AMAZON, META))]
        stage.pass_time(DAY)
        set_column(stage, undecryptable, "access_token = set_byte(access_token, 20, 255 - get_byte(access_token, 20))")
        with stage.engine.begin() as connection:
            for table in ("platform_credentials", "ad_accounts"):
                connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT ck_{table}_platform_is_known"))
        set_column(stage, unknown, "platform = 'orkut'")
        set_column(stage, endless, "expires_at = NULL")
        set_column(stage, tokenless, "access_token = NULL")
        set_column(stage, good[2], "expires_at = now() + interval '1 day'")
        tally = run(stage)
        summary = tally.summary()
        reasons = {failure.id: failure.reason for failure in summary.failures}
        assert reasons.keys() == {undecryptable, unknown, tokenless}
        assert "does not decrypt" in reasons[undecryptable]
        assert "does not know the platform" in reasons[unknown]
        assert {grant.id for grant in tally.renewed()} == {endless, *good}
        assert summary.sentence == "4 of 7 grants renewed, 3 failed"
        assert set(statuses(stage).values()) == {"active"}
        (row,) = stage.rows("SELECT expires_at FROM platform_credentials WHERE id = :id", id=endless)
        assert row.expires_at is not None


class TestTally:
    GRANTS = tuple(DueGrant(id=n, platform=META, team=f"Team {n}", name="main", generation=1) for n in range(6))

    def test_what_became_of_each_grant_is_counted_once(self) -> None:
        tally = RefreshTally(RefreshPlan(due=self.GRANTS, unknown=()))
        assert tally.add(self.GRANTS[0], Result.AGAIN)
        for grant, result in zip(
            self.GRANTS,
            (Result.RENEWED, Result.ELSEWHERE, Result.PUT_OFF, UndecryptableError("damaged"), object()),
            strict=False,
        ):
            assert not tally.add(grant, result)
        total = tally.summary().total
        assert (total.due, total.renewed, total.elsewhere, total.put_off, total.failed) == (6, 1, 1, 2, 2)
        assert tally.summary().sentence == (
            "1 of 6 grants renewed, 2 failed, 1 renewed by others, 2 put off to the next run"
        )
        assert not tally.summary().success
