"""The keys of the stored tokens: a wrong one is refused before it does harm, and jobs run during a rotation."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from sandbox.world import World
from sivera.crypto import Keyring
from sivera.errors import ConfigurationError
from sivera.grants.keys import BATCH, check_keyring, only_rotation, rotate
from sivera.grants.rules import LEASE
from sivera.grants.source import GrantTokenSource
from sivera.values import PlatformName
from tests.stage import Stage

KEYS = {"k1": b"A" * 32, "k2": b"B" * 32, "k3": b"C" * 32}
"""The first is that of the fixture `keyring`."""


def ring(*ids: str) -> Keyring:
    """Return a keyring of these keys, of which the last encrypts."""
    return Keyring({id_: KEYS[id_] for id_ in ids}, ids[-1])


def connect(stage: Stage, count: int) -> None:
    """Connect grants with tokens under the key k1."""
    check_keyring(stage.engine, stage.keyring)
    for n in range(count):
        stage.connect(stage.world.add_grant(PlatformName.GOOGLE, campaigns=1), team=f"Team {n}")


def change(stage: Stage, assignments: str, **values: object) -> None:
    stage.execute(f"UPDATE platform_credentials SET {assignments}", **values)  # noqa: S608


def rotated(
    stage: Stage, *ids: str, say: Callable[[str], None] = lambda _: None, batch: int = BATCH
) -> tuple[int, tuple[int, ...]]:
    done = rotate(stage.engine, ring(*ids), say, batch)
    return done.grants, done.undecryptable


def key_ids(stage: Stage) -> set[str]:
    rows = stage.rows("SELECT access_token, refresh_token FROM platform_credentials")
    return {token[2 : 2 + token[1]].decode() for row in rows for token in row}


def test_a_keyring_with_a_missing_or_different_key_is_refused(stage: Stage) -> None:
    connect(stage, 2)
    check_keyring(stage.engine, ring("k2", "k1"))
    with pytest.raises(ConfigurationError, match="key 'k1' in the block token-key is not the one"):
        check_keyring(stage.engine, Keyring({"k1": KEYS["k2"]}, "k1"))
    assert [row.id for row in stage.rows("SELECT id FROM token_keys")] == ["k1"]
    # A damaged row that names an unknown key blocks no other grant.
    change(stage, "access_token = set_byte(access_token, 2, 255) WHERE id = 1")
    check_keyring(stage.engine, stage.keyring)
    with pytest.raises(ConfigurationError, match="row 1 needs token key"):
        stage.tokens(PlatformName.GOOGLE, 1).current()
    assert stage.tokens(PlatformName.GOOGLE, 2).current()
    with pytest.raises(ConfigurationError, match="lacks the key 'k1'"):
        check_keyring(stage.engine, ring("k2"))


def test_an_interrupted_rotation_continues_and_the_tokens_still_work(stage: Stage, world: World) -> None:
    connect(stage, 6)

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotated(stage, "k1", "k2", say=interrupt, batch=2)
    assert key_ids(stage) == {"k1", "k2"}
    said: list[str] = []
    assert rotated(stage, "k1", "k2", say=said.append, batch=2) == (4, ())
    assert said
    assert key_ids(stage) == {"k2"}
    stage.keyring = ring("k2")
    check_keyring(stage.engine, stage.keyring)
    stage.pass_time(timedelta(hours=2))
    assert stage.tokens(PlatformName.GOOGLE, 1).current()
    assert world.faults.count(PlatformName.GOOGLE, "token") == 1


def test_a_rotation_waits_for_a_renewal_that_started_before(stage: Stage) -> None:
    connect(stage, 2)
    change(stage, "lease_owner = 'slow', lease_until = now() + :lease WHERE id = 1", lease=LEASE)
    old = stage.rows("SELECT access_token FROM platform_credentials WHERE id = 1")[0].access_token
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 1:  # after the first pass, the holder of the lease still writes with the old key
            change(stage, "access_token = :old, lease_until = NULL WHERE id = 1", old=old)

    assert rotated(stage, "k1", "k2", say=say) == (2, ())
    assert key_ids(stage) == {"k2"}
    assert len(said) == 2


def test_a_renewal_writes_with_the_key_that_has_become_current(stage: Stage) -> None:
    connect(stage, 1)
    stage.keyring = Keyring({"k1": KEYS["k1"]}, "k1", reload=lambda: ring("k1", "k2"))
    check_keyring(stage.engine, ring("k1", "k2"))
    stage.pass_time(timedelta(hours=2))
    assert stage.tokens(PlatformName.GOOGLE, 1).current()
    assert key_ids(stage) == {"k2"}


def test_a_rotation_beside_renewals_leaves_every_grant_working(stage: Stage, world: World) -> None:
    """Six threads renew grants with rotating refresh tokens repeatedly, until all are re-encrypted."""
    grants = [world.add_grant(PlatformName.AMAZON, rotates=True) for _ in range(12)]
    ids = [stage.connect(grant, team=f"Team {n}").credential_id for n, grant in enumerate(grants)]
    stage.keyring = Keyring({"k1": KEYS["k1"]}, "k1", reload=lambda: ring("k1", "k2"))
    check_keyring(stage.engine, stage.keyring)
    sources = [stage.tokens(PlatformName.AMAZON, id_) for id_ in ids]
    is_over = threading.Event()

    def renew(mine: Sequence[GrantTokenSource]) -> int:
        rounds = 0
        while not is_over.is_set() or rounds < 2:
            for source in mine:
                source.renewed(source.current())
            rounds += 1
        return rounds

    with ThreadPoolExecutor(6) as pool:
        renewing = [pool.submit(renew, sources[n::6]) for n in range(6)]
        try:
            _, undecryptable = rotated(stage, "k1", "k2", batch=3)
        finally:
            is_over.set()
        assert all(each.result() >= 2 for each in renewing)
    assert not undecryptable
    assert key_ids(stage) == {"k2"}
    stage.keyring = ring("k2")
    stage.tokens.cache_clear()
    for grant, id_ in zip(grants, ids, strict=True):
        source = stage.tokens(PlatformName.AMAZON, id_)
        assert world.grant_of_access(PlatformName.AMAZON, source.renewed(source.current())) is grant
        assert not grant.reused


def test_a_grant_that_no_key_decrypts_is_named_and_its_key_is_not_retired(stage: Stage) -> None:
    connect(stage, 3)
    change(stage, "refresh_token = set_byte(refresh_token, 20, 255 - get_byte(refresh_token, 20)) WHERE id = 2")
    assert rotated(stage, "k1", "k2") == (2, (2,))
    rows = stage.rows("SELECT id, retired_at FROM token_keys ORDER BY id")
    assert [(row.id, row.retired_at) for row in rows] == [("k1", None), ("k2", None)]
    assert rotated(stage, "k1", "k2", "k3") == (2, (2,)), "the keys can be rotated again"


def test_a_key_that_is_used_again_is_not_retired_and_only_one_rotation_runs(stage: Stage) -> None:
    connect(stage, 2)
    for ids in (("k2", "k1"), ("k1", "k2"), ("k2", "k1")):
        rotated(stage, *ids)
    assert key_ids(stage) == {"k1"}
    rows = stage.rows("SELECT id FROM token_keys WHERE retired_at IS NULL")
    assert [row.id for row in rows] == ["k1"]
    with pytest.raises(ConfigurationError, match="lacks the key 'k1'"):
        check_keyring(stage.engine, ring("k3"))
    refused = pytest.raises(ConfigurationError, match="another rotation")
    with only_rotation(stage.engine), refused, only_rotation(stage.engine):
        pass
