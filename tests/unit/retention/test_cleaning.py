"""The cleanup on a real database: it deletes exactly the expired rows, in batches, and says what stopped it."""

import re
import signal
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session

from sivera.breaker import Calls
from sivera.database import open_engine
from sivera.metrics.definitions import CALLS, THROTTLES
from sivera.metrics.queries import QUESTIONS, add_calls
from sivera.models import Base
from sivera.retention.cleaning import CleanupDependencies, clean, plan_cleanup
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.queries import NO_RUN, TABLES
from sivera.retention.rules import CleanupSummary, KindResult
from sivera.values import PlatformName
from tests.unit.grants.processes import killed_at
from tests.unit.grants.processes import run as run_process
from tests.unit.retention.cleanup_tables import OPEN, CleanupTables

FOR_REAL = CleanupOptions(dry_run=False)
LONG = 600.0

NOT_CLEANED = {
    *("teams", "platform_credentials", "ad_accounts", "campaigns", "campaign_daily_metrics", "report_requests"),
    *("sync_parts", "account_daily_totals", "team_budgets", "token_keys"),
    "metric_samples",
}
"""They grow only with the business, except the last: collect-metrics deletes its old rows."""


@pytest.fixture
def tables(engine: Engine) -> CleanupTables:
    return CleanupTables(engine)


def new_run(engine: Engine, batch_size: int = 2) -> CleanupDependencies:
    return CleanupDependencies(engine, uuid4(), batch_size=batch_size, statement_seconds=LONG)


def run(
    tables: CleanupTables, options: CleanupOptions = FOR_REAL, kinds: Iterable[Kind] = Kind
) -> dict[Kind, KindResult]:
    """Clean these kinds, as the flow does."""
    deps = new_run(tables.engine)
    plan = plan_cleanup(deps, options)
    return {kind: clean(deps, plan, kind, deps.monotonic() + LONG) for kind in kinds}


def totals(tables: CleanupTables) -> dict[str, list[tuple[object, ...]]]:
    """What Prometheus reads about calls."""
    return {each.name: sorted(tuple(row) for row in tables.rows(QUESTIONS[each.name])) for each in (CALLS, THROTTLES)}


def test_each_table_is_cleaned_or_does_not_grow_forever() -> None:
    assert Base.metadata.tables.keys() == {*Kind, *NOT_CLEANED}


@pytest.mark.parametrize("kind", Kind)
def test_expired_rows_are_counted_then_deleted_and_fresh_and_open_ones_stay(tables: CleanupTables, kind: Kind) -> None:
    deps = new_run(tables.engine)
    plan = plan_cleanup(deps, FOR_REAL)
    days = CleanupOptions().model_dump()[f"{kind.value}_days"]
    tables.add(kind, 5, f"{days} days 1 hour")
    around = [plan.cutoffs[kind] + timedelta(microseconds=microseconds) for microseconds in (-1, 0, 1)]
    for at, place in zip(around, tables.add(kind, 3, f"{days} days 2 hours"), strict=True):
        update = f"UPDATE {kind.value} SET {TABLES[kind].time} = :at WHERE ctid::text = :place"  # noqa: S608
        tables.execute(update, at=at, place=place)
    left = tables.add(kind, 1, f"{days + 9} days", is_open=True) if kind in OPEN else set()
    before = totals(tables)
    counted = clean(deps, plan.model_copy(update={"dry_run": True}), kind, deps.monotonic() + LONG)
    assert (counted.deleted, counted.remaining) == (0, 6)
    result = clean(deps, plan, kind, deps.monotonic() + LONG)
    assert (result.deleted, result.remaining, result.failed, result.refused) == (6, 0, None, None)
    assert tables.places(kind) >= left
    times = {row[0] for row in tables.rows(f"SELECT {TABLES[kind].time} FROM {kind.value}")}  # noqa: S608
    assert times >= set(around[1:])
    assert totals(tables) == before
    (record,) = [row for row in tables.records() if row.run_id == deps.run_id]
    assert (record.kind, record.deleted, record.remaining, record.dry_run, record.refused) == (kind, 6, 0, False, None)
    assert record.cutoff == result.cutoff


@pytest.mark.parametrize("kind", [Kind.ALERTS, Kind.SYNC_RUNS, Kind.SESSIONS])
def test_a_cutoff_that_deletes_even_fresh_rows_is_refused(tables: CleanupTables, kind: Kind) -> None:
    written = {Kind.ALERTS: "opened_at", Kind.SYNC_RUNS: "finished_at"}.get(kind, "created_at")
    tables.add(kind, 5, "500 days")
    tables.add(Kind.CLEANUP_RUNS, 1, "500 days")
    tables.execute(f"UPDATE {kind.value} SET {written} = now()")  # noqa: S608
    results = run(tables)
    assert f"every row of {kind.value} would be deleted" in (results[kind].refused or "")
    assert len(tables.places(kind)) == 5
    assert results[Kind.CLEANUP_RUNS].deleted == 1, "the other kinds continue"
    (record,) = [row for row in tables.records() if row.kind == kind]
    assert (record.refused, record.deleted) == (results[kind].refused, 0)
    is_open = kind in OPEN
    tables.add(kind, 1, "500 days" if is_open else "-1 hour", is_open=is_open)
    tables.execute(f"UPDATE {kind.value} SET {written} = now()")  # noqa: S608
    result = run(tables, kinds=[kind])[kind]
    assert (result.deleted, result.remaining, len(tables.places(kind))) == (5, 0, 1)


def test_a_session_stays_while_one_of_its_states_does(tables: CleanupTables) -> None:
    grants = tables.rows("SELECT * FROM platform_credentials")
    held, free = tables.add_ids(Kind.SESSIONS, 2, "1 minute")
    tables.add(Kind.SESSIONS, 1, "-1 hour")
    tables.add_states(1, "-5 minutes", held)
    tables.add_states(1, "5 minutes", free)
    assert run(tables, CleanupOptions())[Kind.SESSIONS].remaining == 1
    # A run that did not get to the states.
    assert run(tables, kinds=[Kind.SESSIONS])[Kind.SESSIONS].deleted == 0
    result = run(tables)[Kind.SESSIONS]
    assert (result.deleted, result.remaining) == (1, 0)
    assert free not in tables.contents()["sessions"]
    tables.execute("UPDATE oauth_states SET expires_at = now() - interval '1 minute'")
    assert run(tables)[Kind.SESSIONS].deleted == 1
    assert tables.rows("SELECT * FROM platform_credentials") == grants, "grants never expire"


def test_a_renewal_in_doubt_is_kept_while_the_grant_has_its_tokens(tables: CleanupTables) -> None:
    tables.add(Kind.TOKEN_REFRESH_LOGS, 1, "40 days", is_open=True)
    tables.execute("UPDATE token_refresh_logs SET outcome = NULL")
    tables.add(Kind.TOKEN_REFRESH_LOGS, 1, "40 days", is_open=True)
    assert run(tables)[Kind.TOKEN_REFRESH_LOGS].deleted == 0
    tables.execute("UPDATE platform_credentials SET generation = generation + 1")
    assert run(tables)[Kind.TOKEN_REFRESH_LOGS].deleted == 2


def test_the_deadline_stops_the_run_and_the_next_one_continues(tables: CleanupTables) -> None:
    tables.add(Kind.SESSIONS, 30, "1 hour")
    ticks = iter(range(100))
    deps = replace(new_run(tables.engine), monotonic=lambda: float(next(ticks)))
    plan = plan_cleanup(deps, FOR_REAL)
    result = clean(deps, plan, Kind.SESSIONS, end=5)
    assert (result.deleted, result.remaining) == (10, 20)
    assert len(tables.contents()["sessions"]) == 20
    (record,) = tables.records()
    assert (record.deleted, record.remaining) == (10, 20)
    sentence = CleanupSummary.of(plan, {Kind.SESSIONS: result}).sentence
    assert sentence == "deleted 10 sessions; left for the next run: 20 sessions"
    assert run(tables)[Kind.SESSIONS].deleted == 20


def test_batches_use_an_index_and_each_starts_where_the_last_ended(tables: CleanupTables) -> None:
    tables.fill()
    starts: dict[str, list[datetime]] = defaultdict(list)
    plans: dict[str, str] = {}

    def look(connection: Connection, _cursor: object, statement: str, values: Any, *_: object) -> None:
        if table := re.match(r"\s+WITH gone AS \(\s+DELETE FROM (\w+)", statement):
            starts[table[1]].append(values["after"])
            plans[table[1]] = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())

    event.listen(tables.engine, "before_cursor_execute", look)
    run(tables)
    event.remove(tables.engine, "before_cursor_execute", look)
    many = {table: times for table, times in starts.items() if len(times) > 1}
    assert many.keys() == {Kind.OAUTH_STATES, Kind.SESSIONS, Kind.TOKEN_REFRESH_LOGS}
    assert all(times[0] < times[-1] for times in many.values()), "entries of deleted rows are not read again"
    assert not [plans[table] for table in many if f"Seq Scan on {table}" in plans[table]]


def test_a_row_in_use_is_skipped(tables: CleanupTables) -> None:
    locked, extended, linked, *_ = tables.add_ids(Kind.SESSIONS, 5, "1 hour")
    with tables.engine.begin() as other:
        state = """INSERT INTO oauth_states (state_hash, session_id, platform, expires_at)
                   VALUES ('new', :id, 'meta', now() + interval '10 minutes')"""
        for statement, session in (
            ("SELECT FROM sessions WHERE id = :id FOR UPDATE", locked),
            ("UPDATE sessions SET expires_at = now() + interval '1 hour' WHERE id = :id", extended),
            (state, linked),
        ):
            other.execute(text(statement), {"id": session})
        result = run(tables)[Kind.SESSIONS]
        assert (result.deleted, result.failed) == (2, None)
    assert run(tables)[Kind.SESSIONS].deleted == 1
    assert tables.contents()["sessions"] == [extended, linked]


def test_calls_of_a_retried_run_are_added_to_its_sum(tables: CleanupTables) -> None:
    tables.add(Kind.PLATFORM_CALLS, 2, "91 days")
    (run_id,) = (row[0] for row in tables.rows("SELECT run_id FROM platform_calls WHERE platform = 'meta'"))
    with Session(tables.engine) as session, session.begin():
        add_calls(session, run_id, {PlatformName.META: Calls(api=5)})
        # The run is active, and has locked its row.
        assert run(tables)[Kind.PLATFORM_CALLS].deleted == 1
    calls = totals(tables)[CALLS.name]
    assert calls == [("google", "api", 1), ("google", "login", 2), ("meta", "api", 7), ("meta", "login", 2)]
    folded = tables.rows("SELECT platform, used_percent FROM platform_calls WHERE run_id = :no_run", no_run=NO_RUN)
    assert [tuple(row) for row in folded] == [("google", None)]


def test_a_locked_table_fails_only_its_kind(tables: CleanupTables) -> None:
    tables.add(Kind.OAUTH_STATES, 3, "1 hour")
    # With this lock, others can read the table, but not delete from it.
    with tables.engine.begin() as other:
        other.execute(text("LOCK TABLE oauth_states IN EXCLUSIVE MODE"))
        deps = replace(new_run(tables.engine), statement_seconds=0.1)
        failed = clean(deps, plan_cleanup(deps, FOR_REAL), Kind.OAUTH_STATES, deps.monotonic() + LONG).failed
        assert failed
        assert failed.startswith("the database took too long for a statement: look in pg_stat_activity")
    assert run(tables)[Kind.OAUTH_STATES].deleted == 3


def test_nothing_is_deleted_if_the_clock_is_behind_the_last_run(tables: CleanupTables) -> None:
    run(tables)
    tables.execute("UPDATE cleanup_runs SET started_at = started_at + interval '1 hour'")
    tables.fill()
    before = tables.contents()
    results = run(tables)
    assert all("the last run was at" in (one.refused or "") for one in results.values())
    assert tables.contents() == before
    summary = CleanupSummary(dry_run=False, kinds=tuple(results.values()))
    assert summary.sentence.startswith("refused: the database's clock says ")
    tables.execute("DELETE FROM cleanup_runs WHERE refused IS NULL")
    tables.execute("UPDATE cleanup_runs SET started_at = started_at + interval '1 hour'")
    assert run(tables)[Kind.SESSIONS].deleted == 5, "the clock is not compared with refused runs"


def clean_and_die(database_url: str, kind: Kind, run_id: UUID) -> None:
    """Clean, and be killed between the third batch and its commit."""
    batch = killed_at(3)

    def step(*about: object) -> None:
        if "WITH gone" in str(about[2]):
            batch()

    engine = open_engine(database_url)
    deps = replace(new_run(engine, batch_size=10), run_id=run_id)
    plan = plan_cleanup(deps, FOR_REAL)
    event.listen(engine, "after_cursor_execute", step)
    clean(deps, plan, kind, deps.monotonic() + LONG)


def test_a_killed_run_leaves_whole_batches_and_a_correct_record(tables: CleanupTables, database_url: str) -> None:
    kind = Kind.PLATFORM_CALLS
    tables.add(kind, 35, "91 days")
    before = totals(tables)
    run_id = uuid4()
    assert run_process(clean_and_die, database_url, kind, run_id) == -signal.SIGKILL
    # Waits until the server has rolled back the third batch.
    tables.execute("LOCK TABLE platform_calls IN ACCESS EXCLUSIVE MODE")
    (record,) = tables.records()
    assert (record.run_id, record.kind, record.deleted, record.remaining) == (run_id, kind, 20, None)
    assert totals(tables) == before
    result = run(tables, kinds=[kind])[kind]
    assert (result.deleted, result.remaining) == (15, 0)
    assert totals(tables) == before
