"""The cleanup on a real database: it deletes exactly the expired rows, in whole batches, and says what stopped it."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from sivera.breaker import Calls
from sivera.database import open_engine
from sivera.metrics.definitions import CALLS, THROTTLES
from sivera.metrics.queries import QUESTIONS, add_calls
from sivera.models import Base
from sivera.retention.cleaning import CleanupDependencies, clean, plan_cleanup
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.summary import CleanupPlan, CleanupSummary, KindResult
from sivera.retention.tables import NO_RUN, TABLES
from sivera.values import PlatformName
from tests.unit.grants.processes import run as run_process
from tests.unit.retention.attic import OPEN, Attic, be_patient

FOR_REAL = CleanupOptions(dry_run=False)
LONG = 600.0

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
    "token_keys": "a row each time that a person changes the key",
}
"""Tables that other changes remove."""


class Clock:
    """A clock that advances each time it is read."""

    def __init__(self, step: float) -> None:
        self.now, self._step = 0.0, step

    def __call__(self) -> float:
        self.now += self._step
        return self.now


@pytest.fixture
def attic(engine: Engine) -> Attic:
    be_patient(engine)
    attic = Attic(engine)
    attic.add_team()
    return attic


def run(
    attic: Attic, options: CleanupOptions = FOR_REAL, kinds: Iterable[Kind] = Kind, batch_size: int = 2
) -> dict[Kind, KindResult]:
    """Clean these kinds, as the flow does."""
    deps = CleanupDependencies(attic.engine, uuid4(), batch_size=batch_size)
    plan = plan_cleanup(deps, options)
    return {kind: clean(deps, plan, kind, deps.monotonic() + LONG) for kind in kinds}


def totals(attic: Attic) -> dict[str, list[tuple[object, ...]]]:
    """What Prometheus reads about calls."""
    return {
        metric.name: sorted(tuple(row) for row in attic.rows(QUESTIONS[metric.name])) for metric in (CALLS, THROTTLES)
    }


def test_each_table_is_cleaned_or_does_not_grow_without_end() -> None:
    tables = Base.metadata.tables.keys()
    assert tables == {*Kind, *TRIMMED_ELSEWHERE, *GROWS_WITH_THE_BUSINESS}


@pytest.mark.parametrize("kind", Kind)
def test_expired_rows_are_deleted_and_fresh_and_open_ones_stay(attic: Attic, kind: Kind) -> None:
    days = CleanupOptions().days(kind)
    fresh = attic.add(kind, 3, f"{days} days -10 seconds")
    kept = fresh | (attic.add(kind, 1, f"{days + 9} days", is_open=True) if kind in OPEN else set())
    expired = attic.add(kind, 7, f"{days} days 1 hour")
    before = totals(attic)
    counted = run(attic, CleanupOptions(), [kind])[kind]
    assert (counted.deleted, counted.remaining) == (0, 7)
    assert attic.places(kind) >= kept | expired
    result = run(attic, kinds=[kind])[kind]
    assert (result.deleted, result.remaining, result.failed, result.refused) == (7, 0, None, None)
    assert attic.places(kind) & (kept | expired) == kept
    assert totals(attic) == before
    proof = max(attic.proofs(), key=lambda row: row.deleted)
    assert (proof.kind, proof.deleted, proof.remaining, proof.dry_run, proof.refused) == (kind, 7, 0, False, None)
    assert proof.cutoff == result.cutoff
    assert run(attic, kinds=[kind])[kind].deleted == 0


def test_a_row_as_old_as_the_cutoff_stays_and_one_a_microsecond_older_is_deleted(attic: Attic) -> None:
    for kind in Kind:
        deps = CleanupDependencies(attic.engine, uuid4())
        plan = plan_cleanup(deps, FOR_REAL)
        times = [plan.cutoffs[kind] + timedelta(microseconds=microseconds) for microseconds in (-1, 0, 1)]
        for at, place in zip(times, attic.add(kind, 3, "1 hour"), strict=True):
            update = f"UPDATE {kind.value} SET {TABLES[kind].time} = :at WHERE ctid::text = :place"  # noqa: S608
            attic.execute(update, at=at, place=place)
        result = clean(deps, plan, kind, deps.monotonic() + LONG)
        assert (result.deleted, result.remaining) == (1, 0)
        left = {row[0] for row in attic.rows(f"SELECT {TABLES[kind].time} FROM {kind.value}")}  # noqa: S608
        assert left >= {*times[1:]}


@pytest.mark.parametrize("kind", [kind for kind, table in TABLES.items() if table.written != table.time])
def test_a_kind_is_refused_if_nothing_would_stay_although_a_row_is_new(attic: Attic, kind: Kind) -> None:
    days = CleanupOptions().days(kind) + 1
    attic.add(kind, 5, f"{days} days")
    attic.add(Kind.CLEANUP_RUNS, 1, "500 days")
    attic.execute(f"UPDATE {kind.value} SET {TABLES[kind].written} = now()")  # noqa: S608
    before = attic.places(kind)
    results = run(attic)
    assert f"every row of {kind.value} would be deleted" in (results[kind].refused or "")
    assert attic.places(kind) == before
    assert results[Kind.CLEANUP_RUNS].deleted == 1, "the other kinds continue"
    (proof,) = [row for row in attic.proofs() if row.kind == kind]
    assert (proof.refused, proof.deleted) == (results[kind].refused, 0)
    stays = attic.add(kind, 1, f"{days} days", is_open=True) if kind in OPEN else attic.add(kind, 1, "-1 hour")
    assert run(attic, kinds=[kind])[kind].deleted == 5
    assert attic.places(kind) == stays


def test_a_run_deletes_exactly_what_a_dry_run_counted_and_never_a_grant(attic: Attic) -> None:
    alive = attic.fill()
    before = attic.contents()
    grants = attic.rows("SELECT * FROM platform_credentials")
    counted = {kind: one.remaining for kind, one in run(attic, CleanupOptions()).items()}
    assert attic.contents() == before
    results = run(attic)
    assert {kind: one.deleted for kind, one in results.items()} == counted
    assert {kind: count for kind, count in counted.items() if count} == {
        Kind.OAUTH_STATES: 6,
        Kind.SESSIONS: 5,
        Kind.TOKEN_REFRESH_LOGS: 4,
    }
    assert attic.contents() == alive
    assert grants[0].expires_at < attic.now()
    assert attic.rows("SELECT * FROM platform_credentials") == grants


def test_a_session_stays_while_a_login_that_began_in_it_is_alive(attic: Attic) -> None:
    held, free = attic.add_sessions(2, "1 minute")
    attic.add_sessions(1, "-1 hour")
    (alive,) = attic.add_states(1, "-5 minutes", held)
    attic.add_states(1, "5 minutes", free)
    assert run(attic, CleanupOptions())[Kind.SESSIONS].remaining == 1
    result = run(attic)[Kind.SESSIONS]
    assert (result.deleted, result.remaining) == (1, 0)
    assert free not in attic.contents()["sessions"]
    attic.execute("UPDATE oauth_states SET expires_at = now() - interval '1 minute' WHERE id = :id", id=alive)
    assert run(attic)[Kind.SESSIONS].deleted == 1


def test_states_that_a_run_has_no_time_for_keep_their_session(attic: Attic) -> None:
    (session,) = attic.add_sessions(1, "1 hour")
    attic.add_states(1, "1 hour", session)
    result = run(attic, kinds=[Kind.SESSIONS])[Kind.SESSIONS]
    assert (result.deleted, result.failed) == (0, None)


def test_a_doubt_stays_while_the_grant_has_the_tokens_that_it_is_about(attic: Attic) -> None:
    attic.add(Kind.TOKEN_REFRESH_LOGS, 1, "40 days", is_open=True)
    attic.execute("UPDATE token_refresh_logs SET outcome = NULL")
    kept = attic.add(Kind.TOKEN_REFRESH_LOGS, 1, "40 days", is_open=True) | attic.places(Kind.TOKEN_REFRESH_LOGS)
    assert run(attic)[Kind.TOKEN_REFRESH_LOGS].deleted == 0
    assert attic.places(Kind.TOKEN_REFRESH_LOGS) == kept
    attic.execute("UPDATE platform_credentials SET generation = generation + 1")
    assert run(attic)[Kind.TOKEN_REFRESH_LOGS].deleted == 2


def test_the_deadline_stops_the_run_and_the_next_one_continues(attic: Attic) -> None:
    attic.add_sessions(30, "1 hour")
    deps = CleanupDependencies(attic.engine, uuid4(), monotonic=Clock(step=1.0), batch_size=2)
    plan = plan_cleanup(deps, FOR_REAL)
    result = clean(deps, plan, Kind.SESSIONS, end=11.0)
    assert 0 < result.deleted < 30
    assert result.remaining == 30 - result.deleted == len(attic.contents()["sessions"])
    (proof,) = attic.proofs()
    assert (proof.deleted, proof.remaining) == (result.deleted, result.remaining)
    sentence = CleanupSummary.of(plan, {Kind.SESSIONS: result}).sentence
    assert sentence == f"deleted {result.deleted} sessions; left for the next run: {result.remaining} sessions"
    late = clean(deps, plan, Kind.SESSIONS, end=0)
    assert (late.deleted, late.remaining) == (0, result.remaining)
    assert run(attic)[Kind.SESSIONS].deleted == result.remaining


@contextmanager
def held(attic: Attic, statement: str, **parameters: object) -> Iterator[None]:
    """Let somebody else's transaction execute a statement, and commit when the body ends."""
    with attic.engine.begin() as other:
        other.execute(text(statement), parameters)
        yield


@pytest.mark.parametrize(
    ("statement", "deleted_later"),
    [
        ("SELECT FROM sessions WHERE id = :id FOR UPDATE", 1),
        ("UPDATE sessions SET expires_at = now() + interval '1 hour' WHERE id = :id", 0),
        (
            """INSERT INTO oauth_states (state_hash, session_id, platform, expires_at)
               VALUES ('new', :id, 'meta', now() + interval '10 minutes')""",
            0,
        ),
    ],
    ids=["locked", "extended", "login begun"],
)
def test_a_row_that_somebody_uses_is_skipped(attic: Attic, statement: str, deleted_later: int) -> None:
    ids = attic.add_sessions(5, "1 hour")
    with held(attic, statement, id=ids[2]):
        result = run(attic)[Kind.SESSIONS]
        assert (result.deleted, result.failed) == (4, None)
    assert attic.contents()["sessions"] == [ids[2]]
    assert run(attic)[Kind.SESSIONS].deleted == deleted_later


def test_calls_of_a_run_that_is_retried_are_added_to_its_sum(attic: Attic) -> None:
    attic.add(Kind.PLATFORM_CALLS, 2, "91 days")
    (run_id,) = (row[0] for row in attic.rows("SELECT run_id FROM platform_calls WHERE platform = 'meta'"))
    with Session(attic.engine) as session, session.begin():
        add_calls(session, run_id, {PlatformName.META: Calls(api=5)})
        # The run is under way: it has locked its row.
        assert run(attic)[Kind.PLATFORM_CALLS].deleted == 1
    assert totals(attic)[CALLS.name] == [
        ("google", "api", 1),
        ("google", "login", 2),
        ("meta", "api", 7),
        ("meta", "login", 2),
    ]
    folded = attic.rows("SELECT platform, used_percent FROM platform_calls WHERE run_id = :no_run", no_run=NO_RUN)
    assert [tuple(row) for row in folded] == [("google", None)]


def test_a_locked_table_fails_its_kind_and_the_others_continue(engine: Engine) -> None:
    attic = Attic(engine)
    attic.add_states(3, "1 hour")
    attic.add_logs(1, "40 days")
    # Reading a table is possible beside this lock; deleting from it is not.
    with held(attic, "LOCK TABLE oauth_states IN EXCLUSIVE MODE"):
        deps = CleanupDependencies(engine, uuid4(), statement_seconds=0.3)
        failed = clean(deps, plan_cleanup(deps, FOR_REAL), Kind.OAUTH_STATES, deps.monotonic() + LONG).failed
        assert failed == "the database failed (QueryCanceled); the next run continues"
        assert run(attic, kinds=[Kind.TOKEN_REFRESH_LOGS])[Kind.TOKEN_REFRESH_LOGS].deleted == 1
    assert len(attic.contents()["oauth_states"]) == 3


def test_a_database_clock_behind_the_last_run_deletes_nothing(attic: Attic) -> None:
    run(attic)
    attic.execute("UPDATE cleanup_runs SET started_at = started_at + interval '1 hour'")
    attic.fill()
    before = attic.contents()
    for _ in range(2):
        results = run(attic)
        assert all("the last run was at" in (one.refused or "") for one in results.values())
        assert attic.contents() == before
    plan = CleanupPlan(dry_run=False, cutoffs=dict.fromkeys(Kind, datetime.now().astimezone()))
    assert CleanupSummary.of(plan, results).sentence.startswith("refused: the database's clock says ")
    attic.execute("DELETE FROM cleanup_runs WHERE started_at > now() AND refused IS NULL")
    assert run(attic)[Kind.SESSIONS].deleted == 5, "a refused run is nothing to compare the clock with"


def clean_and_die(database_url: str, kind: Kind, run_id: UUID) -> None:
    """Start to clean, and be killed between the deletion of the third batch and its commit."""
    batches = iter(range(2))

    def step(*about: object) -> None:
        if "WITH gone" in str(about[2]) and next(batches, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = open_engine(database_url)
    be_patient(engine)
    deps = CleanupDependencies(engine, run_id, batch_size=10)
    plan = plan_cleanup(deps, FOR_REAL)
    event.listen(engine, "after_cursor_execute", step)
    clean(deps, plan, kind, deps.monotonic() + LONG)


@pytest.mark.parametrize("kind", [Kind.SESSIONS, Kind.PLATFORM_CALLS])
def test_a_killed_run_leaves_whole_batches_and_a_correct_record(attic: Attic, database_url: str, kind: Kind) -> None:
    attic.add(kind, 35, "91 days")
    before = totals(attic)
    run_id = uuid4()
    assert run_process(clean_and_die, database_url, kind, run_id) == -signal.SIGKILL
    attic.wait_for_rollbacks()
    (proof,) = attic.proofs()
    assert (proof.run_id, proof.kind, proof.deleted, proof.remaining) == (run_id, kind, 20, None)
    assert totals(attic) == before
    result = run(attic, kinds=[kind])[kind]
    assert (result.deleted, result.remaining) == (15, 0)
    assert totals(attic) == before
