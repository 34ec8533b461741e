"""The database takes no writes between the platform's answer and the commit: the answer is taken from the spool."""

import os
from contextlib import ExitStack
from datetime import timedelta

import pytest
from sqlalchemy.exc import DBAPIError

from sandbox.world import World
from sivera.errors import Unavailable
from sivera.grants.renewal import take_up_spool
from sivera.grants.rules import LEASE
from sivera.grants.spool import SpoolError
from tests.unit.grants.due import AMAZON, Due, read_only


def test_the_answer_is_kept_on_disk_until_it_is_stored(due: Due) -> None:
    with ExitStack() as away:
        source = due.source(then=lambda: away.enter_context(read_only(due.stage)))
        with pytest.raises(DBAPIError, match="takes no writes"):
            source.current()
    (file,) = due.stage.spool.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert due.journal() == [(None, None)], "in doubt until the answer is stored"
    assert due.source().renew(1), "the next renewal on this machine stores it first, and has renewed the grant"
    assert due.works()
    assert due.journal() == [("renewed", None)]
    assert due.calls() == 1
    assert not list(due.stage.spool.iterdir())


def test_an_unreadable_file_stops_only_its_grant_and_before_a_token_is_spent(
    due: Due, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    other = world.add_grant(AMAZON, rotates=True)
    beside = Due(due.stage, other, due.stage.connect(other, team="Nari").credential_id)
    due.stage.pass_time(timedelta(hours=2))
    due.stage.spool.mkdir(parents=True)
    damaged = due.stage.spool / f"{due.id}-7.tokens"
    damaged.write_bytes(b"damaged")
    (due.stage.spool / "1-2 (copy).tokens").write_bytes(b"not ours")
    with pytest.raises(SpoolError, match="delete the file"):
        due.source().current()
    assert due.calls() == 0
    assert take_up_spool(due.stage.renewal_dependencies()) == 0
    assert str(damaged) in caplog.text
    assert beside.works()
    damaged.unlink()
    assert due.works()


@pytest.mark.parametrize("is_in_journal", [True, False])
def test_an_unreadable_file_is_set_aside_once_its_grant_is_connected_again(
    due: Due, caplog: pytest.LogCaptureFixture, *, is_in_journal: bool
) -> None:
    due.stage.pass_time(timedelta(hours=2))
    due.stage.spool.mkdir(parents=True)
    attempt = due.begin("died") if is_in_journal else None
    damaged = due.stage.spool / f"{due.id}-{attempt.id if attempt else 7}.tokens"
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


def test_an_answer_is_stored_although_a_successor_took_the_lease_and_died_too(due: Due) -> None:
    """The successor's lease is over, so its owner's name must not keep the first holder's tokens out."""

    def successor_begins() -> None:
        due.stage.age(LEASE)
        assert due.begin("second")

    with pytest.raises(Unavailable):
        due.source(then=successor_begins).current()
    assert len(list(due.stage.spool.iterdir())) == 1
    due.stage.age(LEASE)
    assert due.works()
    assert due.calls() == 1
