"""What the jobs write: of each kind goes what is over for long enough, and never what something still needs."""

import os
import signal
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from sivera.breaker import Calls
from sivera.database import open_engine
from sivera.metrics.call_queries import add_calls
from sivera.metrics.definitions import CALLS, THROTTLES
from sivera.metrics.queries import QUESTIONS
from sivera.models import Base
from sivera.retention import queries, rules
from sivera.retention.cleaning import CleanupDependencies, clean, plan_cleanup
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.tables import NO_RUN, TABLES
from sivera.values import PlatformName
from tests.unit.grants.processes import run as run_process
from tests.unit.retention.attic import Attic, be_patient
from tests.unit.retention.shelf import DAYS, HELD, OVER, Shelf
from tests.unit.retention.test_cleaning import FOR_REAL, LONG, Clock, run

TRIMMED_ELSEWHERE = {"metric_samples": "by collect-metrics, after 90 days"}
GROWS_WITH_THE_BUSINESS = {
    "teams": "the customers",
    "platform_credentials": "their grants",
    "ad_accounts": "their accounts",
    "campaigns": "what the product shows",
    "campaign_daily_metrics": "what the product shows; reports are made of it",
    "report_requests": "what is outstanding: replaced by each sync",
    "report_arrivals": "a row an account and ad product",
    "team_budgets": "what teams mean to spend",
    "budget_checks": "a row an account",
    "alert_checks": "one row",
    "token_keys": "a row each time that a person changes the key",
}

each_kind = pytest.mark.parametrize("kind", OVER)
TELLS = [kind for kind, table in TABLES.items() if table.written != table.time and kind in OVER]
"""Kinds of which it can be told that a row was written after its time."""


@pytest.fixture
def shelf(engine: Engine, kind: Kind) -> Shelf:
    be_patient(engine)
    attic = Attic(engine)
    attic.add_logs(0, "1 day")
    return Shelf(attic, kind)


def test_each_table_is_cleaned_up_or_does_not_grow_without_end() -> None:
    tables = Base.metadata.tables.keys()
    assert tables == {*Kind, *TRIMMED_ELSEWHERE, *GROWS_WITH_THE_BUSINESS}
    assert TABLES.keys() == set(Kind) == OVER.keys() | {Kind.OAUTH_STATES, Kind.SESSIONS}


@each_kind
def test_what_is_over_goes_and_what_is_fresh_or_open_stays(shelf: Shelf) -> None:
    shelf.add(7, f"{DAYS[shelf.kind]} days 1 hour")
    kept = shelf.add(3, f"{DAYS[shelf.kind] - 1} days")
    if shelf.kind in HELD:
        kept += shelf.add(1, f"{DAYS[shelf.kind] + 9} days", held=True)
    before = shelf.contents()
    counted = run(shelf.attic, CleanupOptions())[shelf.kind]
    assert (counted.deleted, counted.remaining) == (0, 7)
    assert [one for one in shelf.contents() if one in before] == before
    result = run(shelf.attic)[shelf.kind]
    assert (result.deleted, result.remaining, result.failed, result.refused) == (7, 0, None, None)
    assert set(shelf.contents()) & set(before) == set(kept)
    assert run(shelf.attic)[shelf.kind].deleted == 0
    (proof, *_) = [row for row in shelf.attic.proofs() if row.kind == shelf.kind and row.deleted]
    assert (proof.deleted, proof.remaining, proof.dry_run) == (7, 0, False)


@each_kind
def test_what_is_as_old_as_the_cutoff_stays_and_a_microsecond_older_goes(shelf: Shelf) -> None:
    shelf.add(3, "1 hour")
    deps = CleanupDependencies(shelf.attic.engine, uuid4())
    plan = plan_cleanup(deps, FOR_REAL)
    time = TABLES[shelf.kind].time
    keys = shelf.contents()
    for key, microseconds in zip(keys, (-1, 0, 1), strict=True):
        at = plan.cutoffs[shelf.kind] + timedelta(microseconds=microseconds)
        shelf.attic.execute(f"UPDATE {shelf.kind.value} SET {time} = :at WHERE {shelf.key} = :key", at=at, key=key)  # noqa: S608
    result = clean(deps, plan, shelf.kind, deps.monotonic() + LONG)
    assert (result.deleted, result.remaining) == (1, 0)
    assert set(shelf.contents()) >= {*keys[1:]}
    assert keys[0] not in shelf.contents()


@pytest.mark.parametrize("kind", TELLS)
def test_what_would_leave_nothing_although_one_was_just_written_is_refused(shelf: Shelf) -> None:
    shelf.add(5, f"{DAYS[shelf.kind] + 1} days")
    shelf.attic.execute(f"UPDATE {shelf.kind.value} SET {TABLES[shelf.kind].written} = now()")  # noqa: S608
    before = shelf.contents()
    result = run(shelf.attic)[shelf.kind]
    assert f"nothing would stay of {shelf.kind.value}, although one was written at" in (result.refused or "")
    assert shelf.contents() == before
    stays = shelf.add(1, "1 hour")
    assert run(shelf.attic)[shelf.kind].deleted == 5
    assert shelf.contents() == stays


@pytest.mark.parametrize("kind", [kind for kind in HELD if kind in TELLS and TABLES[kind].due == "TRUE"])
def test_where_an_open_one_stays_not_everything_goes(shelf: Shelf) -> None:
    shelf.add(5, f"{DAYS[shelf.kind] + 1} days")
    shelf.attic.execute(f"UPDATE {shelf.kind.value} SET {TABLES[shelf.kind].written} = now()")  # noqa: S608
    stays = shelf.add(1, f"{DAYS[shelf.kind] + 9} days", held=True)
    assert run(shelf.attic)[shelf.kind].deleted == 5
    assert shelf.contents() == stays


@each_kind
def test_windows_go_through_rows_of_one_time_and_pass_none_over(shelf: Shelf) -> None:
    shelf.add(7, "5000 days", apart="0")
    shelf.add(2, "4000 days", apart="1 day")
    cutoff, after, seen = shelf.attic.now(), queries.START, []
    with shelf.attic.engine.connect() as connection, Session(connection) as session, session.begin():
        while window := queries.read_window(session, shelf.kind, cutoff, after, size=2, chunk_size=1):
            assert window.chunks <= 2
            seen.append(window.chunks)
            after = window.last
    assert seen == [2, 2, 2, 2, 1]


def clean_and_die(database_url: str, kind: Kind, run_id: UUID) -> None:
    """Clean until the third batch is about to be deleted, and be killed there."""
    batches = iter(range(2))

    def step(*about: object) -> None:
        if isinstance(about[3], dict) and "upto" in about[3] and next(batches, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = open_engine(database_url)
    be_patient(engine)
    # The clock stands still: each batch is twice the last.
    deps = CleanupDependencies(engine, run_id, monotonic=Clock())
    plan = plan_cleanup(deps, FOR_REAL)
    event.listen(engine, "after_cursor_execute", step)
    clean(deps, plan, kind, until=LONG)


@each_kind
def test_a_kill_between_batches_leaves_whole_ones_and_a_true_proof(shelf: Shelf, database_url: str) -> None:
    shelf.add(3500, f"{DAYS[shelf.kind] + 1} days")
    sums = totals(shelf.attic)
    run_id = uuid4()
    assert run_process(clean_and_die, database_url, shelf.kind, run_id) == -signal.SIGKILL
    shelf.attic.wait_for_rollbacks()
    (proof,) = shelf.attic.proofs()[-1:]
    assert (proof.run_id, proof.kind) == (run_id, shelf.kind.value)
    left = count_old(shelf)
    assert left + proof.deleted == 3500
    assert proof.deleted == 500 + 1000
    assert totals(shelf.attic) == sums
    assert run(shelf.attic)[shelf.kind].deleted == left
    assert totals(shelf.attic) == sums


def count_old(shelf: Shelf) -> int:
    table = TABLES[shelf.kind]
    old = (
        f"SELECT count(*) FROM {shelf.kind.value} AS old WHERE {table.time} < now() - interval '3 days' AND {table.due}"  # noqa: S608
    )
    count: int = shelf.attic.rows(old)[0][0]
    return count


def totals(attic: Attic) -> dict[str, list[tuple[object, ...]]]:
    """What Prometheus is told of the calls."""
    return {
        metric.name: sorted(tuple(row) for row in attic.rows(QUESTIONS[metric.name])) for metric in (CALLS, THROTTLES)
    }


@pytest.mark.parametrize("kind", [Kind.PLATFORM_CALLS])
def test_no_counter_goes_back_when_the_calls_of_old_runs_go(shelf: Shelf) -> None:
    shelf.add(1200, "91 days")
    shelf.add(10, "1 day")
    before = totals(shelf.attic)
    seen = []
    with shelf.attic.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:

        def look(*about: object) -> None:
            if "WITH gone" in str(about[2]):
                seen.append(
                    {m.name: sorted(map(tuple, other.execute(text(QUESTIONS[m.name])))) for m in (CALLS, THROTTLES)}
                )

        # Each batch is looked at after its statement, before it is committed.
        event.listen(shelf.attic.engine, "after_cursor_execute", look)
        assert run(shelf.attic)[Kind.PLATFORM_CALLS].deleted == 1200
        event.remove(shelf.attic.engine, "after_cursor_execute", look)
    assert len(seen) > 1
    assert all(one == before for one in seen)
    assert totals(shelf.attic) == before
    shelf.add(3, "92 days")
    before = totals(shelf.attic)
    assert run(shelf.attic)[Kind.PLATFORM_CALLS].deleted == 3
    assert totals(shelf.attic) == before
    folded = shelf.attic.rows("SELECT platform, used_percent FROM platform_calls WHERE run_id = :no_run", no_run=NO_RUN)
    assert sorted(tuple(row) for row in folded) == [("google", None), ("meta", None)]


@pytest.mark.parametrize("kind", [Kind.PLATFORM_CALLS])
def test_an_old_run_that_is_repeated_is_counted_on(shelf: Shelf) -> None:
    shelf.add(2, "91 days")
    (run_id, *_) = (row[0] for row in shelf.attic.rows("SELECT run_id FROM platform_calls WHERE platform = 'meta'"))
    with Session(shelf.attic.engine) as session, session.begin():
        add_calls(session, run_id, {PlatformName.META: Calls(api=5)})
        # The run is not over: its row is locked, and is of now when it is.
        deps = CleanupDependencies(shelf.attic.engine, uuid4())
        result = clean(deps, plan_cleanup(deps, FOR_REAL), Kind.PLATFORM_CALLS, deps.monotonic() + LONG)
        assert (result.deleted, result.failed) == (1, None)
    assert totals(shelf.attic)[CALLS.name] == [
        ("google", "api", 1),
        ("google", "login", 2),
        ("meta", "api", 7),
        ("meta", "login", 2),
    ]


@pytest.mark.parametrize("kind", [Kind.TOKEN_REFRESH_LOGS])
@pytest.mark.parametrize("outcome", [None, "in_doubt"])
def test_a_doubt_stays_as_long_as_the_grant_has_the_tokens_that_it_is_about(shelf: Shelf, outcome: str | None) -> None:
    shelf.add(3, "40 days")
    (doubt,) = shelf.add(1, "40 days", held=True)
    shelf.attic.execute(
        "UPDATE token_refresh_logs SET outcome = :outcome WHERE id = :id", outcome=outcome, id=int(doubt)
    )
    assert run(shelf.attic)[Kind.TOKEN_REFRESH_LOGS].deleted == 3
    assert shelf.contents() == [doubt]
    shelf.attic.execute("UPDATE platform_credentials SET generation = generation + 1")
    assert run(shelf.attic)[Kind.TOKEN_REFRESH_LOGS].deleted == 1


@pytest.mark.parametrize("kind", [Kind.BACKUPS])
def test_the_account_of_a_backup_that_is_there_or_being_made_stays(shelf: Shelf) -> None:
    kept = shelf.add(2, "500 days", held=True)
    shelf.attic.execute(f"UPDATE backups SET outcome = 'running' WHERE {shelf.key} = :key", key=kept[0])  # noqa: S608
    shelf.add(1, "500 days")
    shelf.attic.execute(
        "UPDATE backups SET outcome = 'inconclusive', path = NULL, deleted_at = NULL WHERE deleted_at IS NOT NULL"
    )
    assert run(shelf.attic)[Kind.BACKUPS].deleted == 1
    assert shelf.contents() == kept


@pytest.mark.parametrize("kind", [Kind.JOB_OCCURRENCES])
@pytest.mark.parametrize("outcome", ["waiting", "running", "late"])
def test_a_time_of_which_nobody_knows_what_became_stays(shelf: Shelf, outcome: str) -> None:
    kept = shelf.add(1, "500 days", held=True)
    shelf.attic.execute("UPDATE job_occurrences SET outcome = :outcome", outcome=outcome)
    shelf.add(2, "500 days")
    shelf.attic.execute("UPDATE job_occurrences SET outcome = 'missed', ended_at = NULL WHERE ended_at IS NOT NULL")
    shelf.add(1, "500 days")
    assert run(shelf.attic)[Kind.JOB_OCCURRENCES].deleted == 3
    assert shelf.contents() == kept


@pytest.mark.parametrize("huge", [Kind.JOB_OCCURRENCES, Kind.OAUTH_STATES])
def test_a_kind_that_is_too_large_for_a_run_starves_none(engine: Engine, huge: Kind) -> None:
    be_patient(engine)
    attic = Attic(engine)
    attic.add_logs(3, "40 days")
    attic.add_sessions(3, "1 hour")
    for kind in set(OVER) - {huge}:
        Shelf(attic, kind).add(3, f"{DAYS[kind] + 1} days")
    if huge is Kind.OAUTH_STATES:
        attic.add_states(10_000, "1 hour")
    else:
        attic.add_states(3, "1 hour")
        Shelf(attic, huge).add(10_000, "500 days")
    # By this clock each batch takes longer than it is to, and is soon the smallest.
    clock = Clock(seconds_a_look=0.1)
    deps = CleanupDependencies(engine, uuid4(), monotonic=clock)
    plan = plan_cleanup(deps, FOR_REAL)
    begun, seconds = clock.now, FOR_REAL.deadline_seconds
    results = {kind: clean(deps, plan, kind, begun + rules.end_of(kind, seconds)) for kind in Kind}
    assert 0 < results[huge].deleted < 10_000
    assert clock.now < seconds + 2
    assert {kind: one.failed or one.refused for kind, one in results.items()} == dict.fromkeys(Kind)
    rest = {kind: one.deleted for kind, one in results.items() if kind is not huge}
    assert rest == dict.fromkeys(rest, 3) | {Kind.TOKEN_REFRESH_LOGS: rest[Kind.TOKEN_REFRESH_LOGS]}
    assert rest[Kind.TOKEN_REFRESH_LOGS] >= 3
