"""The cleanup on a real database: exactly the expired go, in whole batches, and what held it back is said."""

import logging
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from sivera.clock import utc_now
from sivera.database import open_engine
from sivera.retention import queries, rules
from sivera.retention.cleaning import CleanupDependencies, clean, plan_cleanup
from sivera.retention.options import CleanupOptions, Kind
from sivera.retention.summary import CleanupPlan, CleanupSummary, KindResult
from tests.unit.grants.processes import run as run_process
from tests.unit.retention.attic import KINDS, Attic, be_patient

FOR_REAL = CleanupOptions(dry_run=False)
LONG = 60.0


class Clock:
    """A clock in seconds of the machine's own, from which time can be taken."""

    def __init__(self, seconds_a_look: float = 0.0) -> None:
        self.now = 0.0
        self._step = seconds_a_look

    def __call__(self) -> float:
        self.now += self._step
        return self.now


@pytest.fixture
def attic(engine: Engine) -> Attic:
    be_patient(engine)
    return Attic(engine)


def run(attic: Attic, options: CleanupOptions = FOR_REAL, kinds: Iterable[Kind] = Kind) -> dict[str, KindResult]:
    """Clean these kinds, as a run of the flow cleans all."""
    deps = CleanupDependencies(attic.engine, uuid4())
    plan = plan_cleanup(deps, options)
    return {kind.value: clean(deps, plan, kind, deps.monotonic() + LONG) for kind in kinds}


def test_exactly_the_expired_go(attic: Attic) -> None:
    alive = attic.fill()
    results = run(attic)
    assert attic.contents() == alive
    assert {kind: (one.deleted, one.remaining) for kind, one in results.items()} == {
        kind.value: (0, 0) for kind in Kind
    } | {"oauth_states": (6, 0), "sessions": (5, 0), "token_refresh_logs": (4, 0)}
    again = run(attic)
    assert [(one.deleted, one.remaining, one.first_key) for one in again.values()] == [(0, 0, None)] * len(Kind)
    assert attic.contents() == alive


@pytest.mark.parametrize(("table", "column"), [("oauth_states", "expires_at"), ("sessions", "expires_at")])
def test_what_expires_at_the_cutoff_stays_and_a_microsecond_before_goes(attic: Attic, table: str, column: str) -> None:
    kind = Kind(table)
    ids = attic.add_states(3, "1 hour") if kind is Kind.OAUTH_STATES else attic.add_sessions(3, "1 hour")
    plan = plan_cleanup(CleanupDependencies(attic.engine, uuid4()), FOR_REAL)
    check_boundary(attic, plan, kind, column, ids)


def test_a_log_that_is_as_old_as_the_cutoff_stays_and_a_microsecond_older_goes(attic: Attic) -> None:
    plan = plan_cleanup(CleanupDependencies(attic.engine, uuid4()), FOR_REAL)
    check_boundary(attic, plan, Kind.TOKEN_REFRESH_LOGS, "started_at", attic.add_logs(3, "1 hour"))


def check_boundary(attic: Attic, plan: CleanupPlan, kind: Kind, column: str, ids: list[int]) -> None:
    for id_, microseconds in zip(ids, (-1, 0, 1), strict=True):
        at = plan.cutoffs[kind] + timedelta(microseconds=microseconds)
        attic.execute(f"UPDATE {kind.value} SET {column} = :at WHERE id = :id", at=at, id=id_)  # noqa: S608
    deps = CleanupDependencies(attic.engine, uuid4())
    result = clean(deps, plan, kind, deps.monotonic() + LONG)
    assert (result.deleted, result.remaining) == (1, 0)
    assert attic.contents()[kind.value] == ids[1:]


def test_retention_is_in_days_after_the_end(attic: Attic) -> None:
    attic.add_states(1, "25 hours")
    attic.add_sessions(1, "49 hours")
    attic.add_logs(1, "8 days")
    states, sessions, logs = attic.add_states(1, "23 hours"), attic.add_sessions(1, "47 hours"), attic.add_logs(1, "6d")
    run(attic, CleanupOptions(dry_run=False, oauth_states_days=1, sessions_days=2, token_refresh_logs_days=7))
    assert attic.contents() == {"oauth_states": states, "sessions": sessions, "token_refresh_logs": logs}


def test_an_expired_session_stays_while_a_login_that_was_begun_in_it_is_alive(attic: Attic) -> None:
    held, free = attic.add_sessions(2, "1 minute")
    attic.add_sessions(1, "-1 hour")
    (alive,) = attic.add_states(1, "-5 minutes", held)
    attic.add_states(1, "5 minutes", free)
    assert run(attic, CleanupOptions())["sessions"].remaining == 1
    results = run(attic)
    assert (results["sessions"].deleted, results["sessions"].remaining) == (1, 0)
    assert held in attic.contents()["sessions"]
    assert free not in attic.contents()["sessions"]
    attic.execute("UPDATE oauth_states SET expires_at = now() - interval '1 minute' WHERE id = :id", id=alive)
    assert run(attic)["sessions"].deleted == 1
    assert held not in attic.contents()["sessions"]


def test_a_dry_run_deletes_nothing_and_counts_what_a_real_one_deletes(attic: Attic) -> None:
    attic.fill()
    before = attic.contents()
    counted = {kind: one.remaining for kind, one in run(attic, CleanupOptions()).items()}
    assert attic.contents() == before
    assert [(row.dry_run, row.deleted, row.remaining) for row in attic.proofs()] == [
        (True, 0, counted[kind]) for kind in Kind
    ]
    assert {kind: one.deleted for kind, one in run(attic).items()} == counted


def test_grants_are_never_touched(attic: Attic) -> None:
    attic.fill()
    grants = attic.rows("SELECT * FROM platform_credentials")
    assert grants[0].expires_at < attic.now()
    assert grants[0].refresh_token
    run(attic)
    assert attic.rows("SELECT * FROM platform_credentials") == grants


def test_a_run_proves_what_went(attic: Attic) -> None:
    attic.fill()
    oldest, *_, newest = attic.rows(
        "SELECT id, expires_at FROM oauth_states WHERE expires_at < now() ORDER BY expires_at, id"
    )
    deps = CleanupDependencies(attic.engine, uuid4())
    before = attic.now()
    plan = plan_cleanup(deps, FOR_REAL)
    result = clean(deps, plan, Kind.OAUTH_STATES, deps.monotonic() + LONG)
    (proof,) = attic.proofs()
    assert (proof.run_id, proof.kind, proof.cutoff) == (deps.run_id, "oauth_states", plan.cutoffs[Kind.OAUTH_STATES])
    assert (proof.deleted, proof.remaining, proof.dry_run, proof.refused) == (6, 0, False, None)
    assert proof.first_key == result.first_key == f"{oldest.expires_at.isoformat()} {oldest.id}"
    assert proof.last_key == result.last_key == f"{newest.expires_at.isoformat()} {newest.id}"
    assert before < proof.started_at < attic.now()
    assert proof.duration_ms > 0


def test_the_deadline_stops_the_run_and_it_says_what_is_left(attic: Attic) -> None:
    attic.add_sessions(3000, "1 hour")
    attic.add_sessions(1, "-1 hour")
    clock = Clock(seconds_a_look=1.0)
    deps = CleanupDependencies(attic.engine, uuid4(), monotonic=clock)
    plan = plan_cleanup(deps, FOR_REAL)
    result = clean(deps, plan, Kind.SESSIONS, until=5.0)
    assert 0 < result.deleted < 3000
    assert result.remaining == 3000 - result.deleted == len(attic.contents()["sessions"]) - 1
    (proof,) = attic.proofs()
    assert (proof.deleted, proof.remaining) == (result.deleted, result.remaining)
    summary = CleanupSummary.of(plan, {Kind.SESSIONS: result})
    assert summary.sentence.endswith(f"left for the next run: {result.remaining} sessions")
    assert run(attic)["sessions"].deleted == result.remaining


def test_after_the_deadline_nothing_is_begun(attic: Attic) -> None:
    attic.add_states(5, "1 hour")
    deps = CleanupDependencies(attic.engine, uuid4())
    result = clean(deps, plan_cleanup(deps, FOR_REAL), Kind.OAUTH_STATES, until=deps.monotonic())
    assert (result.deleted, result.remaining) == (0, 5)


def test_the_size_of_a_batch_follows_the_time_that_the_last_one_took(attic: Attic) -> None:
    attic.add_logs(7500, "40 days")
    sizes: list[int] = []
    event.listen(attic.engine, "before_cursor_execute", lambda *about: sizes.extend(sizes_of(about[3])))
    deps = CleanupDependencies(attic.engine, uuid4(), monotonic=Clock())
    clean(deps, plan_cleanup(deps, FOR_REAL), Kind.TOKEN_REFRESH_LOGS, until=LONG)
    assert sizes == [500, 1000, 2000, 4000], "a clock that stands still says that batches take no time"
    attic.add_logs(3000, "40 days")
    sizes.clear()
    deps = CleanupDependencies(attic.engine, uuid4(), monotonic=Clock(seconds_a_look=0.5))
    clean(deps, plan_cleanup(deps, FOR_REAL), Kind.TOKEN_REFRESH_LOGS, until=9 * LONG)
    assert sizes[:5] == [500, 250, 100, 50, 50]


def sizes_of(parameters: object) -> Iterator[int]:
    """The size of a batch, of the parameters of a statement that deletes one."""
    if isinstance(parameters, dict) and "upto" in parameters:
        yield (parameters["upto"] - parameters["after"]) * rules.CHUNK_SIZE


def test_a_row_that_somebody_holds_is_passed_over_and_goes_next_time(
    attic: Attic, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sivera.retention")
    ids = attic.add_sessions(10, "1 hour")
    with held(attic, "SELECT FROM sessions WHERE id = :id FOR UPDATE", id=ids[4]):
        result = run(attic)["sessions"]
        assert (result.deleted, result.remaining, result.failed) == (9, 1, None)
    # No statement here ends by its own time: what ended the wait is the much shorter one for locks.
    assert misses(caplog) == ["A batch of 500 sessions was rolled back (LockNotAvailable)"]
    assert run(attic)["sessions"].deleted == 1


def misses(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line for line in caplog.messages if "was rolled back" in line]


def test_a_session_that_is_being_extended_stays(attic: Attic) -> None:
    ids = attic.add_sessions(3, "1 second")
    with held(attic, "UPDATE sessions SET expires_at = now() + interval '1 hour' WHERE id = :id", id=ids[1]):
        assert run(attic)["sessions"].deleted == 2
    assert attic.contents()["sessions"] == [ids[1]]
    assert run(attic)["sessions"].deleted == 0


def test_a_session_in_which_a_login_is_being_begun_stays(attic: Attic) -> None:
    ids = attic.add_sessions(3, "1 second")
    with held(
        attic,
        """INSERT INTO oauth_states (state_hash, session_id, platform, expires_at)
           VALUES ('new', :id, 'meta', now() + interval '10 minutes')""",
        id=ids[1],
    ):
        assert run(attic)["sessions"].deleted == 2
    assert attic.contents()["sessions"] == [ids[1]]


def test_a_table_that_somebody_holds_ends_its_kind_after_some_timeouts(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sivera.retention")
    attic = Attic(engine)
    attic.add_states(600, "1 hour")
    attic.add_logs(1, "40 days")
    deps = CleanupDependencies(attic.engine, uuid4())
    plan = plan_cleanup(deps, FOR_REAL)
    # What reads goes beside this lock, what locks rows does not.
    with held(attic, "LOCK TABLE oauth_states IN EXCLUSIVE MODE"):
        result = clean(deps, plan, Kind.OAUTH_STATES, deps.monotonic() + LONG)
        assert result.failed == "the database failed (QueryCanceled); the next run goes on"
        assert (result.deleted, result.remaining) == (0, 600)
        timeouts = (rules.MOST_MISSES - 1) * rules.BATCH_TIMEOUT_SECONDS + rules.LOCK_SECONDS
        assert timeouts <= result.duration_ms / 1000
        assert len(misses(caplog)) == rules.MOST_MISSES
        assert clean(deps, plan, Kind.TOKEN_REFRESH_LOGS, deps.monotonic() + LONG).deleted == 1
    assert len(attic.contents()["oauth_states"]) == 600
    assert run(attic)["oauth_states"].deleted == 600


@contextmanager
def held(attic: Attic, statement: str, **parameters: object) -> Iterator[None]:
    """Somebody else's transaction that has executed a statement, and commits when the body ends."""
    with attic.engine.begin() as other:
        other.execute(text(statement), parameters)
        yield


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_worker_s_clock_that_is_wrong_deletes_nothing(attic: Attic, ahead: timedelta) -> None:
    attic.fill()
    before = attic.contents()
    deps = CleanupDependencies(attic.engine, uuid4(), now=lambda: utc_now() + ahead)
    plan = plan_cleanup(deps, FOR_REAL)
    results = [clean(deps, plan, kind, deps.monotonic() + LONG) for kind in Kind]
    assert attic.contents() == before
    assert {one.refused for one in results} == {plan.refused} == {row.refused for row in attic.proofs()}
    assert (plan.refused or "").startswith("the worker's clock says ")
    assert CleanupSummary.of(plan, dict(zip(Kind, results, strict=True))).sentence == f"refused: {plan.refused}"


@pytest.mark.parametrize(("moved", "word"), [("30 days", "the last run was at"), ("-1 hour", "a run was at")])
def test_a_database_s_clock_that_jumped_deletes_nothing(attic: Attic, moved: str, word: str) -> None:
    run(attic)
    attic.execute("UPDATE cleanup_runs SET started_at = started_at - CAST(:moved AS interval)", moved=moved)
    attic.fill()
    before = attic.contents()
    assert all(word in (one.refused or "") for one in run(attic).values())
    assert attic.contents() == before
    assert all(one.refused for one in run(attic).values()), "a run that was refused proves no time"


def test_what_would_leave_nothing_of_a_kind_with_fresh_writes_is_refused(attic: Attic) -> None:
    attic.fill()
    attic.execute("UPDATE sessions SET created_at = now(), expires_at = now() - interval '8 hours'")
    before = attic.contents()["sessions"]
    results = run(attic)
    assert "nothing would stay of sessions, although one was written at" in (results["sessions"].refused or "")
    assert attic.contents()["sessions"] == before
    assert (results["oauth_states"].deleted, results["token_refresh_logs"].deleted) == (6, 4)
    attic.add_sessions(1, "-1 hour")
    assert run(attic)["sessions"].refused is None


def test_old_rows_may_go_to_the_last(attic: Attic) -> None:
    attic.add_states(5, "1 hour")
    attic.add_sessions(5, "1 hour")
    results = run(attic)
    assert [results[kind].deleted for kind in KINDS] == [5, 5, 0]


def test_a_place_that_was_given_to_another_row_meanwhile_is_not_emptied(attic: Attic) -> None:
    attic.add_sessions(100, "1 hour")
    cutoff = attic.now()
    with attic.engine.connect() as connection, Session(connection) as session:
        with session.begin():
            window = queries.read_window(session, Kind.SESSIONS, cutoff, queries.START, size=100, chunk_size=50)
        assert window is not None
        assert window.chunks == 2
        before = places(attic)
        # As a vacuum does it where nobody can see the dead rows any more.
        attic.execute("TRUNCATE sessions, oauth_states")
        alive = attic.add_sessions(100, "-1 hour")
        assert places(attic) & before, "some live rows lie where dead ones lay"
        with session.begin():
            assert queries.delete_batch(session, Kind.SESSIONS, cutoff, 0, window.chunks) == 0
        with session.begin():
            assert queries.delete_free(session, Kind.SESSIONS, cutoff, 0, window.chunks) == (0, 0)
    assert attic.contents()["sessions"] == alive


def places(attic: Attic) -> set[str]:
    return {row.place for row in attic.rows("SELECT ctid::text AS place FROM sessions")}


def clean_and_die(database_url: str, run_id: UUID, last: int) -> None:
    """Clean until the n-th step, before or after a statement or a commit, and be killed there."""
    steps = iter(range(1, last))

    def step(*_: object) -> None:
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    engine = open_engine(database_url)
    be_patient(engine)
    # The clock stands still: each batch is twice the last.
    deps = CleanupDependencies(engine, run_id, monotonic=Clock())
    plan = plan_cleanup(deps, FOR_REAL)
    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(engine, moment, step)
    clean(deps, plan, Kind.SESSIONS, until=LONG)


def test_a_kill_at_any_step_leaves_whole_batches_and_a_true_proof(attic: Attic, database_url: str) -> None:
    whole = (0, 500, 1500, 3500)
    seen = set()
    for last in range(1, 60):
        attic.execute("TRUNCATE sessions, oauth_states, cleanup_runs")
        attic.add_sessions(3500, "1 hour")
        run_id = uuid4()
        code = run_process(clean_and_die, database_url, run_id, last)
        attic.wait_for_rollbacks()
        gone = 3500 - len(attic.contents()["sessions"])
        assert gone in whole
        proofs = {row.run_id: row for row in attic.proofs()}
        assert (proofs[run_id].deleted if run_id in proofs else 0) == gone
        seen.add(gone)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert run(attic, kinds=[Kind.SESSIONS])["sessions"].deleted == 3500 - gone, "the next run goes on"
    else:
        pytest.fail("the cleanup has more steps than this test takes")
    assert seen == set(whole)


def test_a_refused_run_that_dies_before_its_last_word_proves_no_time(attic: Attic) -> None:
    attic.fill()
    before = attic.contents()

    def die(*arguments: object) -> None:
        if "UPDATE cleanup_runs" in str(arguments[2]):
            raise KeyboardInterrupt

    plan = CleanupPlan(
        dry_run=False, deadline_seconds=45, cutoffs=rules.cutoffs(FOR_REAL, utc_now()), refused="the clock leapt"
    )
    event.listen(attic.engine, "before_cursor_execute", die)
    with pytest.raises(KeyboardInterrupt):
        clean(CleanupDependencies(attic.engine, uuid4()), plan, Kind.SESSIONS, LONG)
    event.remove(attic.engine, "before_cursor_execute", die)
    assert attic.contents() == before
    with Session(attic.engine) as session:
        assert queries.read_clock(session)[1] is None
    assert [proof.refused for proof in attic.proofs()] == ["the clock leapt"]


def test_a_disk_that_is_slow_to_read_keys_is_asked_for_fewer(attic: Attic) -> None:
    alive = attic.fill()
    asked: list[int] = []

    def time_out(*arguments: object) -> None:
        statement, parameters = str(arguments[2]), arguments[3]
        if "INSERT INTO cleanup_window" in statement and isinstance(parameters, dict):
            asked.append(parameters["size"])
            if parameters["size"] > 10_000:
                raise OperationalError(statement, {}, Exception("canceling statement due to statement timeout"))

    event.listen(attic.engine, "before_cursor_execute", time_out)
    results = run(attic)
    event.remove(attic.engine, "before_cursor_execute", time_out)
    assert all(one.failed is None for one in results.values())
    assert attic.contents() == alive
    assert asked[:3] == [100_000, 25_000, 6_250]
