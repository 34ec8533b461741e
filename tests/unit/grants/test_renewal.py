"""A renewal: its journal, its lease, the effect of a failure on the grant, and tokens that are never lost."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from sandbox.faults import Fault, FaultKind
from sandbox.world import World
from sivera.errors import ConfigurationError, GrantRevoked, ReconnectRequired, Unavailable
from sivera.grants.rules import LEASE
from tests.stage import Stage
from tests.unit.grants.due import AMAZON, Due, grant_row, read_only


def test_the_journal_has_each_attempt_before_the_call_and_no_token(due: Due, world: World) -> None:
    world.faults.add(Fault(FaultKind.STATUS, AMAZON, "token", times=1))
    with pytest.raises(Unavailable):
        due.source().current()
    during: list[object] = []
    due.source(then=lambda: during.extend([due.journal()[-1], grant_row(due.stage)["lease_owner"]])).current()
    assert during[0] == (None, None)
    assert during[1]
    assert grant_row(due.stage)["lease_owner"] is None
    assert due.journal() == [("in_doubt", "server_error"), ("renewed", None)]
    rows = [dict(row._mapping) for row in due.stage.rows("SELECT * FROM token_refresh_logs")]
    assert len({row["token_fingerprint"] for row in rows}) == 1
    for row in rows:
        assert (row["platform"], row["generation"]) == ("amazon", 1)
        assert row["finished_at"] >= row["started_at"]
        assert row["deadline"] - row["started_at"] == LEASE
        assert isinstance(row["duration_ms"], int)
        assert not any(str(value).startswith("Atz") for value in row.values())


def test_no_token_is_spent_while_its_successor_could_not_be_kept(due: Due) -> None:
    spool = due.stage.spool
    due.stage.spool = spool.parent / "file"
    due.stage.spool.write_text("not a folder")
    with pytest.raises(ConfigurationError, match="SIVERA_SPOOL_DIR"):
        due.source().current()
    due.stage.spool = spool
    with read_only(due.stage), pytest.raises(DBAPIError, match="takes no writes"):
        due.source().current()
    assert due.calls() == 0
    assert due.works()


def test_a_user_who_reconnects_during_a_renewal_wins(due: Due) -> None:
    token = due.source(then=lambda: due.stage.connect(due.grant)).current()
    assert grant_row(due.stage)["generation"] == 2
    held = due.source()
    assert held.current() == token, "both hold the token that the user brought"
    assert token not in repr(held._held)
    assert due.journal() == [("superseded", None)]


def test_a_holder_that_outlived_its_lease_does_not_overwrite_its_successor(due: Due) -> None:
    due.grant.leeway = timedelta(minutes=10)
    successor: list[str] = []

    def too_slow() -> None:
        due.stage.age(LEASE)
        successor.append(due.source().current())

    assert due.source(then=too_slow).current() == successor[0]
    assert due.journal() == [("superseded", None), ("renewed", None)]
    assert grant_row(due.stage)["generation"] == 2
    assert due.works()


def test_a_late_answer_is_used_if_the_successor_was_rejected(due: Due) -> None:
    """The platform honours only that answer, and rejected the spent token that the successor used."""

    def too_slow() -> None:
        due.stage.age(LEASE)
        with pytest.raises(ReconnectRequired):
            due.source().current()
        # This platform does not detect reuse: it rejects the spent token and keeps its successor alive.
        due.grant.revoked = due.grant.reused = False

    due.source(then=too_slow).current()
    assert due.journal() == [("renewed", None), ("rotation_lost", "invalid_grant")]
    assert grant_row(due.stage)["status"] == "active"
    assert due.works()
    names = [name for name, _, _ in due.stage.events]
    assert names == ["sivera.grant.reauthorization-required", "sivera.grant.recovered"]


def test_an_answer_that_is_lost_on_the_way_leaves_a_doubt_that_the_next_attempt_ends(due: Due, world: World) -> None:
    due.grant.leeway = timedelta(minutes=10)
    world.faults.add(Fault(FaultKind.TRUNCATED, AMAZON, "token", times=1))
    with pytest.raises(Unavailable):
        due.source().current()
    assert due.works()
    due.stage.pass_time(timedelta(hours=2))
    due.grant.leeway = timedelta()
    world.faults.add(Fault(FaultKind.DISCONNECT, AMAZON, "token", times=1))
    with pytest.raises(Unavailable):
        due.source().current()
    with pytest.raises(ReconnectRequired):
        due.source().current()
    assert [outcome for outcome, _ in due.journal()] == ["in_doubt", "renewed", "in_doubt", "rotation_lost"]
    row = grant_row(due.stage)
    assert row["status"] == "reauthorization_required"
    assert "cut off" in row["status_reason"]


def test_a_rejection_marks_nothing_if_someone_else_renews_or_has_renewed(due: Due) -> None:
    """A spent token also gets `invalid_grant`: only the lease and the generation tell the two apart."""
    held, slow = due.source()._read(), due.begin("slow")
    assert slow
    assert not due.begin("successor"), "only one holds the lease"
    due.stage.age(LEASE)
    taken_over = due.begin("successor")
    assert taken_over
    assert taken_over.in_doubt, "the first holder's attempt has no outcome"
    assert due.conclude(held, slow) == "superseded"
    row = grant_row(due.stage)
    assert (row["status"], row["lease_owner"]) == ("active", "successor")
    due.stage.age(LEASE)
    assert due.works()
    assert due.conclude(held, slow) == "superseded"
    assert grant_row(due.stage)["status"] == "active"
    assert not due.stage.events


def test_a_doubt_that_was_resolved_is_no_evidence_later(stage: Stage, world: World) -> None:
    grant = world.add_grant(AMAZON)  # its refresh token stays the same
    due = Due(stage, grant, stage.connect(grant).credential_id)
    stage.pass_time(timedelta(hours=2))
    world.faults.add(Fault(FaultKind.DISCONNECT, AMAZON, "token", times=1))
    with pytest.raises(Unavailable):
        due.source().current()
    assert due.works()
    stage.pass_time(timedelta(days=5))
    world.revoke_grant(grant.id)
    with pytest.raises(GrantRevoked):
        due.source().current()
    assert [outcome for outcome, _ in due.journal()] == ["in_doubt", "renewed", "revoked"]


def test_a_grant_that_needs_a_human_says_so_once_and_says_once_that_it_works_again(due: Due, world: World) -> None:
    world.revoke_grant(due.grant.id)
    for error in (GrantRevoked, ReconnectRequired, ReconnectRequired):
        with pytest.raises(error):
            due.source().current()
    assert due.journal() == [("revoked", "invalid_grant")]
    world.log_in(due.grant.id)
    due.stage.connect(due.grant)
    assert due.works()
    resource, known = f"sivera.grant.{due.id}", {"grant": due.id, "platform": "amazon", "team": "Hanok"}
    revoked = {"status": "revoked", "reason": "rejects the refresh token or the code"}
    assert due.stage.events == [
        ("sivera.grant.reauthorization-required", resource, known | revoked),
        ("sivera.grant.recovered", resource, known | {"status": "active", "reason": None}),
    ]
