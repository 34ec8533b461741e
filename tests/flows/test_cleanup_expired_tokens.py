"""cleanup-expired-tokens as a flow, with a real Prefect server and real PostgreSQL."""

import pytest

from flows.cleanup_expired_tokens import cleanup_expired_tokens
from sivera.retention.options import CleanupOptions, Kind
from tests.flows.runs import artifacts, events, flow_run_id, run
from tests.stage import Stage
from tests.unit.retention.cleanup_tables import CleanupTables

FOR_GOOD = CleanupOptions(dry_run=False)
DUE = {Kind.OAUTH_STATES: 6, Kind.SESSIONS: 5, Kind.TOKEN_REFRESH_LOGS: 4}


@pytest.fixture
def tables(ready: Stage) -> CleanupTables:
    return CleanupTables(ready.engine)


def test_expired_rows_are_counted_then_deleted_and_recorded(tables: CleanupTables) -> None:
    alive = tables.fill()
    before = tables.contents()
    state = run(cleanup_expired_tokens)
    assert (state.name, state.message) == (
        "Completed",
        "dry run, nothing deleted; due: 6 oauth_states, 5 sessions, 4 token_refresh_logs",
    )
    assert tables.contents() == before
    state = run(cleanup_expired_tokens, FOR_GOOD)
    assert (state.name, state.message) == ("Completed", "deleted 6 oauth_states, 5 sessions, 4 token_refresh_logs")
    assert tables.contents() == alive
    assert artifacts(state).keys() == {"cleanup-expired-tokens-progress", "cleanup-expired-tokens-summary"}
    records = {row.kind: (row.deleted, row.remaining) for row in tables.records() if row.run_id == flow_run_id(state)}
    assert records == {kind.value: (DUE.get(kind, 0), 0) for kind in Kind}
    (finished,) = events("sivera.cleanup-expired-tokens.finished", state)
    assert (finished["success"], finished["totalProcessed"], finished["failed"]) == (True, 15, 0)
    assert finished["kinds"] == {
        kind.value: {"deleted": DUE.get(kind, 0), "remaining": 0, "refused": None, "failed": None} for kind in Kind
    }


def test_a_kind_that_is_refused_leaves_the_run_red_and_the_others_continue(tables: CleanupTables) -> None:
    tables.fill()
    tables.execute("UPDATE sessions SET created_at = now(), expires_at = now() - interval '1 hour'")
    state = run(cleanup_expired_tokens, FOR_GOOD)
    assert state.is_failed()
    gone = "deleted 6 oauth_states, 4 token_refresh_logs; refused sessions: every row of sessions would be deleted"
    assert (state.message or "").startswith(gone)
    (finished,) = events("sivera.cleanup-expired-tokens.finished", state)
    assert (finished["success"], finished["totalProcessed"], finished["failed"]) == (False, 10, 1)
