"""The cleanup on a real database: it deletes exactly the expired rows, in whole batches, and says what stopped it."""

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
from tests.unit.retention.attic import OPEN, Attic

FOR_REAL = CleanupOptions(dry_run=False)
LONG = 600.0

NOT_CLEANED = {
    *("teams", "platform_credentials", "ad_accounts", "campaigns", "campaign_daily_metrics", "report_requests"),
    *("sync_parts", "account_daily_totals", "team_budgets", "token_keys"),
    "metric_samples",
}
"""They grow with the business, and other changes remove their rows; the last is trimmed by collect-metrics."""


@pytest.fixture
def attic(engine: Engine) -> Attic:
    attic = Attic(engine)
    attic.add_team()
    return attic


def new_run(engine: Engine, batch_size: int = 2) -> CleanupDependencies:
    return CleanupDependencies(engine, uuid4(), batch_size=batch_size, statement_seconds=LONG)


def run(attic: Attic, options: CleanupOptions = FOR_REAL, kinds: Iterable[Kind] = Kind) -> dict[Kind, KindResult]:
    """Clean these kinds, as the flow does."""
    deps = new_run(attic.engine)
    plan = plan_cleanup(deps, options)
    return {kind: clean(deps, plan, kind, deps.monotonic() + LONG) for kind in kinds}


def totals(attic: Attic) -> dict[str, list[tuple[object, ...]]]:
    """What Prometheus reads about calls."""
    return {
        metric.name: sorted(tuple(row) for row in attic.rows(QUESTIONS[metric.name])) for metric in (CALLS, THROTTLES)
    }


def test_each_table_is_cleaned_or_does_not_grow_without_end() -> None:
    assert Base.metadata.tables.keys() == {*Kind, *NOT_CLEANED}


@pytest.mark.parametrize("kind", Kind)
def test_expired_rows_are_counted_then_deleted_and_fresh_and_open_ones_stay(attic: Attic, kind: Kind) -> None:
    deps = new_run(attic.engine)
    plan = plan_cleanup(deps, FOR_REAL)
    days = CleanupOptions().model_dump()[f"{kind.value}_days"]
    attic.add(kind, 5, f"{days} days 1 hour")
    around = [plan.cutoffs[kind] + timedelta(microseconds=microseconds) for microseconds in (-1, 0, 1)]
    for at, place in zip(around, attic.add(kind, 3, f"{days} days 2 hours"), strict=True):
        update = f"UPDATE {kind.value} SET {TABLES[kind].time} = :at WHERE ctid::text = :place"  # noqa: S608
        attic.execute(update, at=at, place=place)
    left = attic.add(kind, 1, f"{days + 9} days", is_open=True) if kind in OPEN else set()
    before = totals(attic)
    counted = clean(deps, plan.model_copy(update={"dry_run": True}), kind, deps.monotonic() + LONG)
    assert (counted.deleted, counted.remaining) == (0, 6)
    result = clean(deps, plan, kind, deps.monotonic() + LONG)
    assert (result.deleted, result.remaining, result.failed, result.refused) == (6, 0, None, None)
    assert attic.places(kind) >= left
    times = {row[0] for row in attic.rows(f"SELECT {TABLES[kind].time} FROM {kind.value}")}  # noqa: S608
    assert times >= set(around[1:])
    assert totals(attic) == before
    (proof,) = [row for row in attic.proofs() if row.run_id == deps.run_id]
    assert (proof.kind, proof.deleted, proof.remaining, proof.dry_run, proof.refused) == (kind, 6, 0, False, None)
    assert proof.cutoff == result.cutoff


@pytest.mark.parametrize("kind", [Kind.ALERTS, Kind.SYNC_RUNS, Kind.SESSIONS])
def test_a_kind_is_refused_if_nothing_would_stay_although_a_row_is_new(attic: Attic, kind: Kind) -> None:
    written = {Kind.ALERTS: "opened_at", Kind.SYNC_RUNS: "finished_at"}.get(kind, "created_at")
    attic.add(kind, 5, "500 days")
    attic.add(Kind.CLEANUP_RUNS, 1, "500 days")
    attic.execute(f"UPDATE {kind.value} SET {written} = now()")  # noqa: S608
    results = run(attic)
    assert f"every row of {kind.value} would be deleted" in (results[kind].refused or "")
    assert len(attic.places(kind)) == 5
    assert results[Kind.CLEANUP_RUNS].deleted == 1, "the other kinds continue"
    (proof,) = [row for row in attic.proofs() if row.kind == kind]
    assert (proof.refused, proof.deleted) == (results[kind].refused, 0)
    stays = attic.add(kind, 1, "500 days", is_open=True) if kind in OPEN else attic.add(kind, 1, "-1 hour")
    assert run(attic, kinds=[kind])[kind].deleted == 5
    assert attic.places(kind) == stays


def test_a_session_stays_while_a_login_that_began_in_it_is_there(attic: Attic) -> None:
    grants = attic.rows("SELECT * FROM platform_credentials")
    held, free = attic.add_ids(Kind.SESSIONS, 2, "1 minute")
    attic.add(Kind.SESSIONS, 1, "-1 hour")
    attic.add_states(1, "-5 minutes", held)
    attic.add_states(1, "5 minutes", free)
    assert run(attic, CleanupOptions())[Kind.SESSIONS].remaining == 1
    # The run has no time for states.
    assert run(attic, kinds=[Kind.SESSIONS])[Kind.SESSIONS].deleted == 0
    result = run(attic)[Kind.SESSIONS]
    assert (result.deleted, result.remaining) == (1, 0)
    assert free not in attic.contents()["sessions"]
    attic.execute("UPDATE oauth_states SET expires_at = now() - interval '1 minute'")
    assert run(attic)[Kind.SESSIONS].deleted == 1
    assert attic.rows("SELECT * FROM platform_credentials") == grants, "grants never expire"


def test_a_doubt_stays_while_the_grant_has_the_tokens_that_it_is_about(attic: Attic) -> None:
    attic.add(Kind.TOKEN_REFRESH_LOGS, 1, "40 days", is_open=True)
    attic.execute("UPDATE token_refresh_logs SET outcome = NULL")
    attic.add(Kind.TOKEN_REFRESH_LOGS, 1, "40 days", is_open=True)
    assert run(attic)[Kind.TOKEN_REFRESH_LOGS].deleted == 0
    attic.execute("UPDATE platform_credentials SET generation = generation + 1")
    assert run(attic)[Kind.TOKEN_REFRESH_LOGS].deleted == 2


def test_the_deadline_stops_the_run_and_the_next_one_continues(attic: Attic) -> None:
    attic.add(Kind.SESSIONS, 30, "1 hour")
    ticks = iter(range(100))
    deps = replace(new_run(attic.engine), monotonic=lambda: float(next(ticks)))
    plan = plan_cleanup(deps, FOR_REAL)
    result = clean(deps, plan, Kind.SESSIONS, end=5)
    assert (result.deleted, result.remaining) == (10, 20)
    assert len(attic.contents()["sessions"]) == 20
    (proof,) = attic.proofs()
    assert (proof.deleted, proof.remaining) == (10, 20)
    sentence = CleanupSummary.of(plan, {Kind.SESSIONS: result}).sentence
    assert sentence == "deleted 10 sessions; left for the next run: 20 sessions"
    assert run(attic)[Kind.SESSIONS].deleted == 20


def test_batches_go_along_an_index_and_each_begins_where_the_last_one_ended(attic: Attic) -> None:
    attic.fill()
    begun: dict[str, list[datetime]] = defaultdict(list)
    plans: dict[str, str] = {}

    def look(connection: Connection, _cursor: object, statement: str, values: Any, *_: object) -> None:
        if table := re.match(r"\s+WITH gone AS \(\s+DELETE FROM (\w+)", statement):
            begun[table[1]].append(values["after"])
            plans[table[1]] = "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars())

    event.listen(attic.engine, "before_cursor_execute", look)
    run(attic)
    event.remove(attic.engine, "before_cursor_execute", look)
    many = {table: times for table, times in begun.items() if len(times) > 1}
    assert many.keys() == {Kind.OAUTH_STATES, Kind.SESSIONS, Kind.TOKEN_REFRESH_LOGS}
    assert all(times[0] < times[-1] for times in many.values()), "entries of deleted rows are not read again"
    assert not [plans[table] for table in many if f"Seq Scan on {table}" in plans[table]]


def test_a_row_that_somebody_uses_is_skipped(attic: Attic) -> None:
    locked, extended, begun, *_ = attic.add_ids(Kind.SESSIONS, 5, "1 hour")
    with attic.engine.begin() as other:
        for statement, session in (
            ("SELECT FROM sessions WHERE id = :id FOR UPDATE", locked),
            ("UPDATE sessions SET expires_at = now() + interval '1 hour' WHERE id = :id", extended),
            (
                """INSERT INTO oauth_states (state_hash, session_id, platform, expires_at)
                   VALUES ('new', :id, 'meta', now() + interval '10 minutes')""",
                begun,
            ),
        ):
            other.execute(text(statement), {"id": session})
        result = run(attic)[Kind.SESSIONS]
        assert (result.deleted, result.failed) == (2, None)
    assert run(attic)[Kind.SESSIONS].deleted == 1
    assert attic.contents()["sessions"] == [extended, begun]


def test_calls_of_a_run_that_is_retried_are_added_to_its_sum(attic: Attic) -> None:
    attic.add(Kind.PLATFORM_CALLS, 2, "91 days")
    (run_id,) = (row[0] for row in attic.rows("SELECT run_id FROM platform_calls WHERE platform = 'meta'"))
    with Session(attic.engine) as session, session.begin():
        add_calls(session, run_id, {PlatformName.META: Calls(api=5)})
        # The run is under way: it has locked its row.
        assert run(attic)[Kind.PLATFORM_CALLS].deleted == 1
    calls = totals(attic)[CALLS.name]
    assert calls == [("google", "api", 1), ("google", "login", 2), ("meta", "api", 7), ("meta", "login", 2)]
    folded = attic.rows("SELECT platform, used_percent FROM platform_calls WHERE run_id = :no_run", no_run=NO_RUN)
    assert [tuple(row) for row in folded] == [("google", None)]


def test_a_locked_table_fails_its_kind_and_the_others_continue(attic: Attic) -> None:
    attic.add(Kind.OAUTH_STATES, 3, "1 hour")
    # Reading a table is possible beside this lock; deleting from it is not.
    with attic.engine.begin() as other:
        other.execute(text("LOCK TABLE oauth_states IN EXCLUSIVE MODE"))
        deps = replace(new_run(attic.engine), statement_seconds=0.1)
        failed = clean(deps, plan_cleanup(deps, FOR_REAL), Kind.OAUTH_STATES, deps.monotonic() + LONG).failed
        assert failed
        assert failed.startswith("the database took too long for a statement: look in pg_stat_activity")
    assert run(attic)[Kind.OAUTH_STATES].deleted == 3


def test_a_database_clock_behind_the_last_run_deletes_nothing(attic: Attic) -> None:
    run(attic)
    attic.execute("UPDATE cleanup_runs SET started_at = started_at + interval '1 hour'")
    attic.fill()
    before = attic.contents()
    results = run(attic)
    assert all("the last run was at" in (one.refused or "") for one in results.values())
    assert attic.contents() == before
    summary = CleanupSummary(dry_run=False, kinds=tuple(results.values()))
    assert summary.sentence.startswith("refused: the database's clock says ")
    attic.execute("DELETE FROM cleanup_runs WHERE started_at > now() AND refused IS NULL")
    assert run(attic)[Kind.SESSIONS].deleted == 5, "a refused run is nothing to compare the clock with"


def clean_and_die(database_url: str, kind: Kind, run_id: UUID) -> None:
    """Start to clean, and be killed between the deletion of the third batch and its commit."""
    batch = killed_at(3)

    def step(*about: object) -> None:
        if "WITH gone" in str(about[2]):
            batch()

    engine = open_engine(database_url)
    deps = replace(new_run(engine, batch_size=10), run_id=run_id)
    plan = plan_cleanup(deps, FOR_REAL)
    event.listen(engine, "after_cursor_execute", step)
    clean(deps, plan, kind, deps.monotonic() + LONG)


def test_a_killed_run_leaves_whole_batches_and_a_correct_record(attic: Attic, database_url: str) -> None:
    kind = Kind.PLATFORM_CALLS
    attic.add(kind, 35, "91 days")
    before = totals(attic)
    run_id = uuid4()
    assert run_process(clean_and_die, database_url, kind, run_id) == -signal.SIGKILL
    # Waits until the server has noticed and rolled the third batch back.
    attic.execute("LOCK TABLE platform_calls IN ACCESS EXCLUSIVE MODE")
    (proof,) = attic.proofs()
    assert (proof.run_id, proof.kind, proof.deleted, proof.remaining) == (run_id, kind, 20, None)
    assert totals(attic) == before
    result = run(attic, kinds=[kind])[kind]
    assert (result.deleted, result.remaining) == (15, 0)
    assert totals(attic) == before
