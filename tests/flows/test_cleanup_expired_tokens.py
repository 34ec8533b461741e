"""cleanup-expired-tokens as a flow: a real Prefect server, real PostgreSQL."""

import pytest
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from sqlalchemy import text

from blocks.names import CLEANUP_JOB
from flows.cleanup_expired_tokens import cleanup_expired_tokens
from sivera.retention.options import CleanupOptions, Kind
from tests.flows.runs import artifacts, events, flow_run_id
from tests.stage import Stage
from tests.unit.retention.attic import Attic
from tests.unit.retention.shelf import Shelf

FOR_REAL = CleanupOptions(dry_run=False)
DUE = {Kind.OAUTH_STATES: 6, Kind.SESSIONS: 5, Kind.TOKEN_REFRESH_LOGS: 4}


@pytest.fixture
def attic(ready: Stage) -> Attic:
    """The database that the Prefect server's block names."""
    return Attic(ready.engine)


def run(options: CleanupOptions) -> State:
    state: State = cleanup_expired_tokens(options, return_state=True)
    return state


def test_the_expired_go_and_the_run_proves_it(attic: Attic) -> None:
    alive = attic.fill()
    state = run(FOR_REAL)
    assert (state.name, state.message) == (
        "Completed",
        "deleted 6 oauth_states, 5 sessions, 4 token_refresh_logs",
    )
    assert attic.contents() == alive
    assert artifacts(state).keys() == {"cleanup-expired-tokens-progress", "cleanup-expired-tokens-summary"}
    assert {row.run_id for row in attic.proofs()} == {flow_run_id(state)}
    assert {row.kind: (row.deleted, row.remaining) for row in attic.proofs()} == {
        kind.value: (DUE.get(kind, 0), 0) for kind in Kind
    }
    (finished,) = events("sivera.cleanup-expired-tokens.finished", state)
    assert (finished["success"], finished["totalProcessed"], finished["failed"]) == (True, 15, 0)
    assert finished["kinds"] == {
        kind.value: {"deleted": DUE.get(kind, 0), "remaining": 0, "refused": None, "failed": None} for kind in Kind
    }


def test_what_the_jobs_have_kept_for_long_enough_goes_with_it(attic: Attic) -> None:
    attic.fill()
    Shelf(attic, Kind.OUTBOX_EVENTS).add(3, "31 days")
    Shelf(attic, Kind.JOB_OCCURRENCES).add(2, "401 days")
    state = run(FOR_REAL.model_copy(update={"outbox_events_days": 60}))
    assert state.message == "deleted 2 job_occurrences, 6 oauth_states, 5 sessions, 4 token_refresh_logs"
    assert run(FOR_REAL).message == "deleted 3 outbox_events"
    assert run(FOR_REAL).message == "deleted nothing"


def test_by_itself_a_run_only_counts(attic: Attic) -> None:
    attic.fill()
    before = attic.contents()
    state: State = cleanup_expired_tokens(return_state=True)
    assert (state.name, state.message) == (
        "Completed",
        "dry run, nothing deleted; due: 6 oauth_states, 5 sessions, 4 token_refresh_logs",
    )
    assert attic.contents() == before


def test_a_refused_kind_leaves_the_run_red_and_the_others_go(attic: Attic) -> None:
    attic.fill()
    attic.execute("UPDATE sessions SET created_at = now(), expires_at = now() - interval '1 hour'")
    state = run(FOR_REAL)
    assert state.is_failed()
    assert "deleted 6 oauth_states, 4 token_refresh_logs; " in (state.message or "")
    assert "refused sessions: nothing would stay of sessions" in (state.message or "")
    (finished,) = events("sivera.cleanup-expired-tokens.finished", state)
    assert (finished["success"], finished["totalProcessed"], finished["failed"]) == (False, 10, 1)


def test_a_clock_that_is_not_believed_deletes_nothing(attic: Attic) -> None:
    attic.fill()
    assert run(FOR_REAL).is_completed()
    attic.execute("UPDATE cleanup_runs SET started_at = started_at - interval '30 days'")
    attic.fill()
    before = attic.contents()
    state = run(FOR_REAL)
    assert state.is_failed()
    assert (state.message or "").startswith("refused: the database's clock says ")
    assert attic.contents() == before
    assert run(FOR_REAL.model_copy(update={"clock_confirmed": True})).is_completed()
    assert run(FOR_REAL).is_completed()


def test_a_second_instance_ends_cancelled(attic: Attic) -> None:
    attic.fill()
    before = attic.contents()
    with concurrency(CLEANUP_JOB, strict=True, max_retries=0):
        state = run(FOR_REAL)
    assert (state.name, state.message) == ("Cancelled", "Another instance is already running")
    assert attic.contents() == before
    assert attic.proofs() == []
    assert run(FOR_REAL).is_completed()


def test_a_table_that_is_locked_ends_its_kind_and_the_others_go(attic: Attic) -> None:
    attic.fill()
    with attic.engine.begin() as other:
        other.execute(text("LOCK TABLE oauth_states IN ACCESS EXCLUSIVE MODE"))
        state = run(FOR_REAL)
    assert state.is_failed()
    assert "failed oauth_states: the database failed (QueryCanceled)" in (state.message or "")
    assert "4 token_refresh_logs" in (state.message or "")
    assert run(FOR_REAL).is_completed()
