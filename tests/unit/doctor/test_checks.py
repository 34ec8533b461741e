"""The checks of the doctor, on crafted facts and on a database."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import ConcurrencyOptions, DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse, GlobalConcurrencyLimitResponse
from prefect.client.schemas.schedules import CronSchedule
from sqlalchemy import text

from ops.deploy import differences, switched_off
from ops.doctor.data_checks import (
    check_accounts,
    check_clock,
    check_disk,
    check_grants,
    check_migrations,
    compare_clocks,
    is_full,
    judge_backups,
)
from ops.doctor.examine import exit_code, line, make
from ops.doctor.findings import Finding, Installation, Skipped, Verdict, explain, fault, few, ok
from ops.timetable import Deployment
from sandbox.world import World
from sivera.backups.manifest import Manifest, Outcome, ShapeOfData
from sivera.clock import utc_now
from sivera.database import open_engine
from sivera.errors import ConfigurationError
from sivera.values import PlatformName
from tests.ops.example_flows import example
from tests.ops.timetables import ALL
from tests.prefect_server import free_port
from tests.stage import Stage

OK, WARNING, FAULT, SKIPPED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.SKIPPED
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    """A world that lives in the machine's time, as the doctor does."""
    return World(seed=7)


@pytest.fixture
def installation(stage: Stage) -> Installation:
    """An installation with a grant of each platform and two accounts of each; its database was opened."""
    for platform in PlatformName:
        stage.connect(stage.world.add_grant(platform, accounts=2))
    return Installation(opened_engine=stage.engine, is_migrated=True)


def write(stage: Stage, *statements: str) -> None:
    with stage.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_grants_and_accounts_that_need_a_look_are_counted(installation: Installation, stage: Stage) -> None:
    assert [check_grants(installation).verdict, check_accounts(installation).verdict] == [OK, OK]
    write(
        stage,
        "UPDATE platform_credentials SET expires_at = now() + interval '23 hours' WHERE platform = 'meta'",
        "UPDATE platform_credentials SET expires_at = now() - interval '1 hour' WHERE platform = 'google'",
        "UPDATE platform_credentials SET status = 'reauthorization_required' WHERE platform = 'tiktok'",
        "UPDATE platform_credentials SET status_since = now() - interval '1 day'",
        "UPDATE ad_accounts SET created_at = now() - interval '1 day'",
        "UPDATE ad_accounts SET last_synced_at = now() - interval '119 minutes' WHERE platform IN ('google', 'amazon')",
        "UPDATE ad_accounts SET last_synced_at = now() - interval '121 minutes' WHERE platform = 'meta'",
    )
    grants = {row.platform: row.id for row in stage.rows("SELECT platform, id FROM platform_credentials")}
    stale = [row.id for row in stage.rows("SELECT id FROM ad_accounts WHERE platform = 'meta' ORDER BY 1")]
    found = check_grants(installation)
    assert (found.verdict, found.text) == (
        WARNING,
        f"1 do not work: {grants['tiktok']}; 1 end within a day and have no refresh token: {grants['meta']}",
    )
    found = check_accounts(installation)
    assert (found.verdict, found.text) == (
        WARNING,
        f"2 have data older than two hours: {', '.join(map(str, stale))}",
    )


def test_a_database_of_another_version_is_a_fault_and_skips_what_needs_its_tables(
    installation: Installation, stage: Stage
) -> None:
    found = check_migrations(installation)
    assert found.verdict is OK
    newest = found.text.rpartition(" ")[2]
    installation.is_migrated = False
    write(stage, "UPDATE sivera_alembic_version SET version_num = 'ffff'")
    found = check_migrations(installation)
    assert (found.verdict, found.text) == (
        FAULT,
        "the database is at revision ffff, which this version does not know",
    )
    write(stage, "DELETE FROM sivera_alembic_version")
    found = check_migrations(installation)
    assert found.text == f"the database is at revision none, and the newest is {newest}"
    assert found.remedy == "run `sivera migrate`"
    found = make(check_grants, installation)
    assert (found.verdict, found.text) == (SKIPPED, "needs a database of this version")
    assert check_disk(installation).verdict is OK


def test_a_database_that_fails_is_named_without_its_secrets(installation: Installation) -> None:
    installation.opened_engine = open_engine(f"postgresql://ana:s3cret-value@127.0.0.1:{free_port()}/sivera")
    found = make(check_grants, installation)
    assert (found.verdict, found.remedy) == (FAULT, "see that PostgreSQL has room and is not overloaded")
    assert "(OperationalError)" in found.text
    assert "s3cret-value" not in str(found)


def test_clocks_may_differ_by_ten_seconds(installation: Installation) -> None:
    for seconds, verdict in ((0, OK), (-10, OK), (11, WARNING), (-59, WARNING), (60, FAULT), (-60, FAULT)):
        assert compare_clocks(NOW + timedelta(seconds=seconds), NOW, NOW).verdict is verdict
    assert compare_clocks(NOW + timedelta(seconds=20), NOW, NOW + timedelta(seconds=30)).verdict is OK
    assert check_clock(installation).verdict is OK
    installation.now = lambda: utc_now() - timedelta(minutes=2)
    assert check_clock(installation).verdict is FAULT


def backup(outcome: Outcome, ago: timedelta, reason: str = "") -> Manifest:
    return Manifest(
        name="one",
        run_id=UUID(int=1),
        started_at=NOW - ago,
        finished_at=NOW - ago,
        size=1,
        sha256="",
        dump_version=18,
        key_ids=(),
        shape=ShapeOfData(rows={}, revision=None),
        outcome=outcome,
        reason=reason,
    )


def test_the_last_backup_and_the_age_of_the_last_verified_one_are_judged() -> None:
    def judge(*kept: Manifest, unreadable: tuple[str, ...] = (), is_due: bool = True) -> tuple[Verdict, str]:
        found = judge_backups(kept, unreadable, NOW, is_due=is_due)
        return found.verdict, found.text

    day = timedelta(days=1)
    verified, failed = backup(Outcome.VERIFIED, 2 * day), backup(Outcome.INCONCLUSIVE, day, "no room")
    damaged, running = backup(Outcome.MISMATCH, day / 24, "it is damaged"), backup(Outcome.RUNNING, day / 24)
    assert judge(is_due=False) == (OK, "none yet: one is made every week")
    assert judge() == (WARNING, "none was ever verified")
    assert judge(failed, is_due=False) == (
        WARNING,
        "the last one, of 2026-11-23 12:00 UTC: no room; none was ever verified",
    )
    assert judge(backup(Outcome.VERIFIED, 9 * day)) == (WARNING, "the last verified one is 9 d old")
    assert judge(verified, running) == (OK, "the last verified one is 2 d old")
    assert judge(verified, failed) == (WARNING, "the last one, of 2026-11-23 12:00 UTC: no room")
    assert judge(failed, verified)[0] is OK
    assert judge(verified, damaged) == (FAULT, "the last one, of 2026-11-24 11:00 UTC: it is damaged")
    assert judge(verified, unreadable=("one cannot be read",)) == (WARNING, "one cannot be read")


@pytest.mark.parametrize(
    ("free_gibibytes", "total_gibibytes", "expected"),
    [(2, 10, False), (0.9, 2, True), (1, 10, False), (1.5, 20, True), (100, 2000, True)],
)
def test_a_disk_needs_a_tenth_and_a_gibibyte_free(
    free_gibibytes: float, total_gibibytes: float, expected: bool
) -> None:
    assert is_full(int(free_gibibytes * 2**30), int(total_gibibytes * 2**30)) is expected


def as_deployed(**changed: Any) -> DeploymentResponse:
    """The deployment that the server has for `ALL`, with some fields changed."""
    fields: Mapping[str, Any] = {
        "name": "all",
        "flow_id": UUID(int=1),
        "entrypoint": ALL["entrypoint"],
        "description": ALL["description"],
        "tags": ALL["tags"],
        "parameters": ALL["parameters"],
        "work_pool_name": "sivera",
        "work_queue_name": "default",
        "job_variables": ALL["work_pool"]["job_variables"],
        "parameter_openapi_schema": example.parameters.model_dump_for_openapi(),
        "version": example.version,
        "global_concurrency_limit": GlobalConcurrencyLimitResponse(name="deployment:1", limit=1, active_slots=0),
        "concurrency_options": ConcurrencyOptions(collision_strategy="CANCEL_NEW", grace_period_seconds=60),
        "schedules": [as_schedule(each) for each in ALL["schedules"]],
    }
    return DeploymentResponse(**{**fields, **changed})


def as_schedule(listed: Mapping[str, Any], **changed: Any) -> DeploymentSchedule:
    schedule = CronSchedule(cron=listed["cron"], timezone=listed["timezone"])
    fields = {"slug": listed["slug"], "schedule": schedule, "parameters": listed.get("parameters", {})}
    return DeploymentSchedule(**{**fields, **changed})


HOURLY, DAILY = ALL["schedules"]
DRIFT: dict[str, dict[str, Any]] = {
    "version": {"version": "another"},
    "entrypoint": {"entrypoint": "tests.ops.example_flows.other_example"},
    "description": {"description": "Something else."},
    "parameters": {"parameters": {"options": {"mode": "full"}}},
    "tags": {"tags": ["sivera", "new"]},
    "work pool": {"job_variables": {"env": {"EXAMPLE": "2"}}},
    "concurrency limit": {"concurrency_options": None},
    "schedule daily": {"schedules": [as_schedule(HOURLY)]},
    "schedule hourly": {"schedules": [as_schedule(HOURLY, parameters={"options": {}}), as_schedule(DAILY)]},
    "schedule weekly": {"schedules": [*map(as_schedule, ALL["schedules"]), as_schedule(HOURLY, slug="weekly")]},
}


def test_each_part_of_a_deployment_is_compared_with_the_file() -> None:
    listed = Deployment.model_validate(ALL)
    assert differences(example, listed, as_deployed()) == []
    for said, change in DRIFT.items():
        assert differences(example, listed, as_deployed(**change)) == [said]


def test_what_an_operator_switched_is_no_difference_and_is_named() -> None:
    listed = Deployment.model_validate(ALL)
    made_by_hand = as_schedule(HOURLY, slug=None)
    schedules = [as_schedule(HOURLY, active=False), as_schedule(DAILY), made_by_hand]
    off = as_deployed(paused=True, schedules=schedules)
    assert differences(example, listed, off) == []
    assert list(switched_off("example/all", listed, off)) == ["example/all", "example/all/hourly"]
    assert list(switched_off("example/all", listed, as_deployed())) == []
    inactive = Deployment.model_validate(ALL | {"paused": True, "schedules": [HOURLY | {"active": False}, DAILY]})
    assert list(switched_off("example/all", inactive, off)) == []


def test_whatever_a_check_raises_becomes_a_finding() -> None:
    def raising(error: Exception) -> Finding:
        def look(_: Installation) -> Finding:
            raise error

        return make(look, Installation())

    found = raising(ConfigurationError("the block a/b is missing: save it"))
    assert (found.verdict, found.text, found.remedy) == (FAULT, "the block a/b is missing", "save it")
    assert raising(Skipped("needs the database")).verdict is SKIPPED
    found = raising(KeyError("s3cret"))
    assert (found.verdict, found.text) == (FAULT, "the check itself failed (KeyError)")
    assert make(lambda _: ok("well"), Installation()).verdict is OK
    assert make(check_grants, Installation()).text == "needs the database"


def test_several_errors_become_one_fault_that_names_each_remedy_once() -> None:
    found = explain([ConfigurationError(f"{name} is missing: deploy it") for name in ("a", "b")])
    assert (found.text, found.remedy) == ("a is missing; b is missing", "deploy it")
    found = explain([ConfigurationError("prefect.yaml: key 'a': take it out\nprefect.yaml: key 'b': add it")])
    assert "\n" not in found.text + found.remedy


def test_the_exit_code_is_that_of_the_worst() -> None:
    assert [exit_code(iter(found)) for found in ({OK, SKIPPED}, {OK, WARNING}, {WARNING, FAULT, OK})] == [0, 1, 2]


def test_of_many_ids_a_few_are_shown() -> None:
    assert few(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    said = line("server", fault("down", "start it"))
    assert said == "FAULT    server        down. Remedy: start it."
