"""The checks of the doctor, on made-up facts and on a database."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine

from ops.doctor.data_checks import (
    check_accounts,
    check_clock,
    check_database,
    check_disk,
    check_grants,
    compare_clocks,
    is_full,
    judge_backups,
)
from ops.doctor.examine import exit_code, run
from ops.doctor.findings import Finding, Installation, Skipped, Verdict, explain, few, ok
from sandbox.world import World
from sivera.alerts.conditions import REMEDIES, Kind
from sivera.alerts.options import AlertOptions
from sivera.backups.manifest import Manifest, Outcome
from sivera.clock import utc_now
from sivera.database import open_engine
from sivera.errors import ConfigurationError
from sivera.values import PlatformName
from tests.conftest import READ_ONLY, run_alone
from tests.prefect_server import free_port
from tests.stage import Stage

OK, WARNING, FAULT, SKIPPED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.SKIPPED
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    """A world on the machine's clock, which the doctor uses too."""
    return World(seed=7)


@pytest.fixture
def installation(stage: Stage) -> Installation:
    """An installation with an open database, and a grant with two accounts on each platform."""
    for platform in PlatformName:
        stage.connect(stage.world.add_grant(platform, accounts=2))
    return Installation(engine=stage.engine)


def test_grants_and_accounts_follow_the_rules_and_words_of_the_alerts(installation: Installation, stage: Stage) -> None:
    assert [check_grants(installation).verdict, check_accounts(installation).verdict] == [OK, OK]
    stage.execute("UPDATE platform_credentials SET expires_at = now() + interval '23 hours' WHERE platform = 'meta'")
    stage.execute("UPDATE platform_credentials SET expires_at = now() - interval '1 hour' WHERE platform = 'google'")
    stage.execute("UPDATE platform_credentials SET status = 'reauthorization_required' WHERE platform = 'tiktok'")
    stage.execute("UPDATE platform_credentials SET status_since = now() - interval '1 day'")
    stage.execute("UPDATE ad_accounts SET created_at = now() - interval '1 day', last_synced_at = now()")
    stage.execute("UPDATE ad_accounts SET last_synced_at = now() - interval '181 minutes' WHERE platform = 'meta'")
    found = check_grants(installation)
    assert found.verdict is WARNING
    assert re.fullmatch(
        r"meta grant \d+ \(main\) of team Hanok gets no data from 20\S+ on: Its token, or .*, ends then; "
        r"tiktok grant \d+ \(main\) of team Hanok must be connected again: .* nothing of it is synced until then",
        found.text,
    )
    remedies = [REMEDIES[kind].rstrip(".") for kind in (Kind.ACCESS_ENDS, Kind.REAUTHORIZATION_REQUIRED)]
    assert found.remedy == ". ".join(remedies)
    found = check_accounts(installation)
    assert found.text.count("meta account ") == found.text.count("was not synced: No run has got to it") == 2
    assert (found.verdict, found.remedy) == (WARNING, REMEDIES[Kind.JOB_MISSED].rstrip("."))
    installation.alert_options = AlertOptions(stale_hours=4)
    assert check_accounts(installation).verdict is OK


def test_a_database_of_another_version_is_a_fault_and_skips_checks_of_its_tables(
    stage: Stage, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIVERA_DATABASE_URL", database_url)
    changes = {
        "UPDATE sivera_alembic_version SET version_num = 'ffff'": "revision ffff, which this version does not know",
        "DELETE FROM sivera_alembic_version": "revision none, and the newest is ",
    }
    for change, said in changes.items():
        stage.execute(change)
        installation = Installation()
        with installation.resources:
            found = run(check_database, installation)
            assert found.verdict is FAULT
            assert found.text.startswith(f"the database is at {said}")
            assert run(check_grants, installation).text == "needs a database of this version"
            assert check_disk(installation).verdict is OK
    assert found.remedy == "run `sivera migrate`"


def test_a_database_that_fails_is_named_without_its_secrets(installation: Installation) -> None:
    installation.engine = open_engine(f"postgresql://ana:s3cret-value@127.0.0.1:{free_port()}/sivera")
    found = run(check_grants, installation)
    assert (found.verdict, found.remedy) == (FAULT, "check that it is running and that the URL is right")
    assert "does not answer" in found.text
    assert "s3cret-value" not in str(found)


def test_a_read_only_database_is_a_fault_and_other_checks_go_on(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_alone(engine, READ_ONLY)
    monkeypatch.setenv("SIVERA_DATABASE_URL", database_url)
    installation = Installation()
    with installation.resources:
        found = run(check_database, installation)
        assert (found.verdict, found.text) == (FAULT, "the database test_sivera takes no writes")
        assert "ALTER DATABASE test_sivera RESET default_transaction_read_only" in found.remedy
        assert run(check_grants, installation).verdict is OK


def test_clocks_may_differ_by_ten_seconds(installation: Installation, stage: Stage) -> None:
    for seconds, verdict in ((0, OK), (-10, OK), (11, WARNING), (-59, WARNING), (60, FAULT), (-60, FAULT)):
        assert compare_clocks(NOW + timedelta(seconds=seconds), NOW, NOW, ahead=0).verdict is verdict
    assert compare_clocks(NOW + timedelta(seconds=20), NOW, NOW + timedelta(seconds=30), ahead=0).verdict is OK
    assert compare_clocks(NOW, NOW, NOW, ahead=2).text.startswith("2 accounts with times ahead of the database's clock")
    assert check_clock(installation).verdict is OK
    stage.execute("UPDATE ad_accounts SET last_synced_at = now() + interval '1 day'")
    assert check_clock(installation).text.startswith("8 accounts with times ahead of the database's clock")
    installation.now = lambda: utc_now() - timedelta(minutes=2)
    assert check_clock(installation).verdict is FAULT


def backup(outcome: Outcome, ago: timedelta, reason: str = "") -> Manifest:
    known = {"name": "one", "run_id": UUID(int=1), "size": 1, "revision": "0001", "tables": (), "key_ids": ()}
    times = {"started_at": NOW - ago, "finished_at": NOW - ago}
    return Manifest.model_validate({**known, **times, "outcome": outcome, "reason": reason})


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
    ahead = backup(Outcome.VERIFIED, -9 * day)
    assert judge(backup(Outcome.VERIFIED, 9 * day), ahead) == (
        WARNING,
        "the time of 1 backup is ahead of the clock; the last verified one is 9 d old",
    )
    assert judge(verified, unreadable=("one cannot be read",)) == (WARNING, "one cannot be read")


def test_a_disk_needs_a_tenth_and_a_gibibyte_free() -> None:
    for free, total, expected in ((1, 10, False), (0.9, 2, True), (1.5, 20, True)):
        assert is_full(int(free * 2**30), int(total * 2**30)) is expected


def test_an_exception_in_a_check_becomes_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(error: Exception) -> Finding:
        def look(_: Installation) -> Finding:
            raise error

        return run(look, Installation())

    found = raising(ConfigurationError("the block a/b is missing: save it"))
    assert (found.verdict, found.text, found.remedy) == (FAULT, "the block a/b is missing", "save it")
    assert raising(Skipped("needs the database")).verdict is SKIPPED
    found = raising(KeyError("s3cret"))
    assert (found.verdict, found.text) == (FAULT, "the check itself failed (KeyError)")
    assert run(lambda _: ok("well"), Installation()).verdict is OK
    assert run(check_grants, Installation()).text == "needs a database of this version"
    monkeypatch.delenv("SIVERA_DATABASE_URL", raising=False)
    assert run(check_database, Installation()).verdict is SKIPPED


def test_several_errors_become_one_fault_that_names_each_remedy_once() -> None:
    found = explain([ConfigurationError(f"{name} is missing: deploy it") for name in ("a", "b")])
    assert (found.text, found.remedy) == ("a is missing; b is missing", "deploy it")
    found = explain([ConfigurationError("prefect.yaml: key 'a': take it out\nprefect.yaml: key 'b': add it")])
    assert "\n" not in found.text + found.remedy


def test_the_exit_code_is_that_of_the_worst_finding() -> None:
    assert [exit_code(iter(found)) for found in ({OK, SKIPPED}, {OK, WARNING}, {WARNING, FAULT, OK})] == [0, 1, 2]


def test_long_lists_are_cut() -> None:
    assert few(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
