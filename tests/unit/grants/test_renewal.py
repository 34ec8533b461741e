"""A renewal: its journal, its lease, the effect of a failure on the grant, and tokens that are never lost."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from sandbox.faults import Fault, FaultKind
from sandbox.tokens import Grant
from sandbox.world import World
from sivera.errors import ConfigurationError, GrantRevoked, ReconnectRequired, Unavailable
from sivera.grants import renewal
from sivera.grants import renewal_queries as queries
from sivera.grants.renewal import StoredGrant, take_up_spool
from sivera.grants.rules import LEASE
from sivera.grants.source import GrantTokenSource
from sivera.grants.spool import SpoolError
from sivera.platforms.base import PlatformClient
from sivera.values import GrantTokens, PlatformName
from tests.stage import Stage

AMAZON = PlatformName.AMAZON


@dataclass
class Interrupted:
    """A client that renews, and then lets something happen before its caller goes on."""

    inner: PlatformClient
    then: Callable[[], object]

    def renew(self, tokens: GrantTokens) -> GrantTokens:
        renewed = self.inner.renew(tokens)
        self.then()
        return renewed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass
class Due:
    """A rotating grant that is due, and the source that a process would renew it with."""

    stage: Stage
    grant: Grant
    id: int

    def source(self, then: Callable[[], object] | None = None) -> GrantTokenSource:
        client = self.stage.client(AMAZON)
        interrupted = cast("PlatformClient", Interrupted(client, then)) if then else client
        return GrantTokenSource(self.stage.renewal_dependencies(), interrupted, self.id)

    def row(self) -> dict[str, object]:
        (row,) = self.stage.rows("SELECT * FROM platform_credentials WHERE id = :id", id=self.id)
        return dict(row._mapping)

    def journal(self) -> list[tuple[str | None, str | None]]:
        rows = self.stage.rows("SELECT outcome, error_code FROM token_refresh_logs ORDER BY id")
        return [(row.outcome, row.error_code) for row in rows]

    def begin(self, owner: str) -> queries.Begun | None:
        with Session(self.stage.engine) as session, session.begin():
            return queries.begin(session, self.id, 1, owner, "f", None)

    def conclude(self, held: StoredGrant, owner: str, begun: queries.Begun) -> str:
        error = GrantRevoked(AMAZON, "no", "invalid_grant")
        return renewal.conclude(self.stage.renewal_dependencies(), held, owner, begun, error, 1)[0].value

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """What providers make of a database when its disk is full."""

        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("SET TRANSACTION READ ONLY")

        event.listen(self.stage.engine, "begin", begin)
        yield
        event.remove(self.stage.engine, "begin", begin)

    def calls(self) -> int:
        return self.stage.world.faults.count(AMAZON, "token")

    def works(self) -> bool:
        token = self.source().current()
        return self.stage.world.grant_of_access(AMAZON, token) is self.grant


@pytest.fixture
def due(stage: Stage, world: World) -> Due:
    grant = world.add_grant(AMAZON, rotates=True)
    connection = stage.connect(grant)
    stage.pass_time(timedelta(hours=2))
    return Due(stage, grant, connection.credential_id)


def test_the_journal_tells_each_attempt_before_the_call_and_no_token(due: Due, world: World) -> None:
    world.faults.add(Fault(FaultKind.STATUS, AMAZON, "token", times=1))
    with pytest.raises(Unavailable):
        due.source().current()
    during: list[object] = []
    due.source(then=lambda: during.extend([due.journal()[-1], due.row()["lease_owner"]])).current()
    assert during[0] == (None, None)
    assert during[1]
    assert due.row()["lease_owner"] is None
    rows = due.stage.rows("SELECT * FROM token_refresh_logs ORDER BY id")
    failed, renewed = (dict(row._mapping) for row in rows)
    assert (failed["outcome"], failed["error_code"], failed["generation"]) == ("in_doubt", "server_error", 1)
    assert (renewed["outcome"], renewed["error_code"], renewed["generation"]) == ("renewed", None, 1)
    assert renewed["token_fingerprint"] == failed["token_fingerprint"]
    for row in (failed, renewed):
        assert row["platform"] == "amazon"
        assert row["finished_at"] >= row["started_at"]
        assert row["deadline"] - row["started_at"] == LEASE
        assert isinstance(row["duration_ms"], int)
        assert not any(str(value).startswith("Atz") for value in row.values())


def test_nothing_is_spent_while_the_answer_could_not_be_kept(due: Due) -> None:
    spool = due.stage.spool
    due.stage.spool = spool.parent / "file"
    due.stage.spool.write_text("not a folder")
    with pytest.raises(ConfigurationError, match="SIVERA_SPOOL_DIR"):
        due.source().current()
    due.stage.spool = spool
    with due.read_only(), pytest.raises(DBAPIError, match="takes no writes"):
        due.source().current()
    assert due.calls() == 0
    assert due.works()


def test_a_user_who_reconnects_during_a_renewal_wins(due: Due) -> None:
    token = due.source(then=lambda: due.stage.connect(due.grant)).current()
    assert due.row()["generation"] == 2
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
    assert due.row()["generation"] == 2
    assert due.works()


def test_a_late_answer_is_used_where_the_successor_was_refused(due: Due) -> None:
    """The platform honours only the answer: the successor's attempt with the spent token failed."""

    def too_slow() -> None:
        due.stage.age(LEASE)
        with pytest.raises(ReconnectRequired):
            due.source().current()
        # This platform detects no reuse: it refuses the spent token, and lets its successor live.
        due.grant.revoked = due.grant.reused = False

    due.source(then=too_slow).current()
    assert due.journal() == [("renewed", None), ("rotation_lost", "invalid_grant")]
    assert due.row()["status"] == "active"
    assert due.works()
    names = [name for name, _, _ in due.stage.events]
    assert names == ["sivera.grant.reauthorization-required", "sivera.grant.recovered"]


def test_an_answer_that_is_lost_on_the_way_is_in_doubt_and_then_works_or_the_rotation_is_lost(
    due: Due, world: World
) -> None:
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
    row = due.row()
    assert row["status"] == "reauthorization_required"
    assert "cut off" in str(row["status_reason"])


def test_a_refusal_marks_nothing_if_somebody_else_renews_or_has_renewed(due: Due) -> None:
    """`invalid_grant` is also what a spent token gets: only the lease and the generation tell the two apart."""
    held, slow = due.source()._read(), due.begin("slow")
    assert slow
    assert not due.begin("successor"), "the lease is one holder's"
    due.stage.age(LEASE)
    taken_over = due.begin("successor")
    assert taken_over
    assert taken_over.in_doubt, "the first holder's attempt has no outcome"
    assert due.conclude(held, "slow", slow) == "superseded"
    row = due.row()
    assert (row["status"], row["lease_owner"]) == ("active", "successor")
    due.stage.age(LEASE)
    assert due.works()
    assert due.conclude(held, "slow", slow) == "superseded"
    assert due.row()["status"] == "active"
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


def test_a_grant_that_needs_a_human_says_so_once_and_once_that_it_works_again(due: Due, world: World) -> None:
    world.revoke_grant(due.grant.id)
    for error in (GrantRevoked, ReconnectRequired, ReconnectRequired):
        with pytest.raises(error):
            due.source().current()
    assert due.journal() == [("revoked", "invalid_grant")]
    world.log_in(due.grant.id)
    due.stage.connect(due.grant)
    assert due.works()
    needed, recovered = due.stage.events
    resource = f"sivera.grant.{due.id}"
    assert needed[:2] == ("sivera.grant.reauthorization-required", resource)
    assert needed[2]["reason"] == "rejects the refresh token or the code"
    known = {"grant": due.id, "platform": "amazon", "team": "Hanok"}
    assert needed[2] == known | {"status": "revoked", "reason": needed[2]["reason"]}
    assert recovered == ("sivera.grant.recovered", resource, known | {"status": "active", "reason": None})


class TestDatabaseAway:
    """The database takes no writes between the platform's answer and the commit."""

    def test_the_answer_is_kept_on_disk_and_taken_up(self, due: Due) -> None:
        with ExitStack() as away:
            source = due.source(then=lambda: away.enter_context(due.read_only()))
            with pytest.raises(DBAPIError, match="takes no writes"):
                source.current()
        (file,) = due.stage.spool.iterdir()
        assert file.stat().st_mode & 0o777 == 0o600
        assert b"Atz" not in file.read_bytes()
        assert due.journal() == [(None, None)], "in doubt until the spool is taken up"
        assert due.source().renew(1), "whoever renews next on the machine takes it up first, and has renewed it"
        assert due.works()
        assert due.journal() == [("renewed", None)]
        assert due.calls() == 1
        assert not list(due.stage.spool.iterdir())

    def test_a_file_that_cannot_be_read_stops_its_grant_alone_and_before_anything_is_spent(
        self, due: Due, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        other = world.add_grant(AMAZON, rotates=True)
        beside = Due(due.stage, other, due.stage.connect(other, team="Nari").credential_id)
        due.stage.pass_time(timedelta(hours=2))
        due.stage.spool.mkdir(parents=True)
        damaged = due.stage.spool / f"{due.id}-7.tokens"
        damaged.write_bytes(b"damaged")
        (due.stage.spool / "1-2 (copy).tokens").write_bytes(b"not ours")
        calls = due.calls()
        with pytest.raises(SpoolError, match="delete the file"):
            due.source().current()
        assert due.calls() == calls
        assert take_up_spool(due.stage.renewal_dependencies()) == 0
        assert str(damaged) in caplog.text
        assert beside.works()
        damaged.unlink()
        assert due.works()

    @pytest.mark.parametrize("is_in_journal", [True, False])
    def test_a_file_that_cannot_be_read_is_set_aside_once_its_grant_is_connected_again(
        self, due: Due, caplog: pytest.LogCaptureFixture, *, is_in_journal: bool
    ) -> None:
        due.stage.pass_time(timedelta(hours=2))
        due.stage.spool.mkdir(parents=True)
        begun = due.begin("died") if is_in_journal else None
        damaged = due.stage.spool / f"{due.id}-{begun.attempt_id if begun else 7}.tokens"
        damaged.write_bytes(b"damaged")
        with pytest.raises(SpoolError, match="connect the grant again"):
            due.source().current()
        due.stage.connect(due.grant)
        due.stage.pass_time(timedelta(hours=2))
        earlier = damaged.stat().st_mtime - timedelta(hours=2, minutes=1).total_seconds()
        os.utime(damaged, (earlier, earlier))
        assert due.works()
        assert [path.name for path in due.stage.spool.iterdir()] == [f"{damaged.name}.unreadable"]
        assert damaged.name in caplog.text

    def test_an_answer_of_a_holder_that_died_is_taken_up_after_a_successor_died_as_well(self, due: Due) -> None:
        """The lease of the second is over: its owner's name must not keep the first one's tokens out."""

        def successor_begins() -> None:
            due.stage.age(LEASE)
            assert due.begin("second")

        with pytest.raises(Unavailable):
            due.source(then=successor_begins).current()
        assert len(list(due.stage.spool.iterdir())) == 1
        due.stage.age(LEASE)
        assert due.works()
        assert due.calls() == 1
