"""The spool: what it has written survives a power failure, and is found complete or not at all."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from sivera.crypto import Keyring
from sivera.grants.spool import Answer, Spool, SpoolError
from sivera.values import GrantTokens
from tests.conftest import NOW

TOKENS = {"access_token": SecretStr("Atza|new"), "refresh_token": SecretStr("Atzr|new")}
ANSWER = Answer(
    credential_id=7,
    generation=3,
    owner="host:1:a",
    attempt_id=9,
    as_of=NOW,
    duration_ms=150,
    tokens=GrantTokens.model_validate(TOKENS | {"expires_in": timedelta(hours=1)}),
)


def test_the_file_is_synced_before_it_is_renamed_and_then_the_folder(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another order, a power failure leaves an empty file or none."""
    synced: list[tuple[str, list[str], int]] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((target.name, sorted(path.name for path in spool.folder.iterdir()), target.stat().st_size))

    spool = Spool(tmp_path / "spool")
    spool.prove_writable()
    monkeypatch.setattr(os, "fsync", watched)
    with spool.put(keyring, ANSWER):
        (path,) = spool.waiting()
    assert [synced[0][:2], synced[1][:2]] == [("7-9.draft", ["7-9.draft"]), ("spool", ["7-9.tokens"])]
    assert synced[0][2] == path.stat().st_size > 0, "all of it was written by then"


def test_an_answer_is_read_back_only_after_its_holder_is_gone(tmp_path: Path, keyring: Keyring) -> None:
    spool = Spool(tmp_path)
    with spool.put(keyring, ANSWER):
        (path,) = spool.waiting(ANSWER.credential_id)
        with spool.take(keyring, path) as held:
            assert held is None
    assert not spool.waiting(70), "of another grant"
    assert b"Atz" not in path.read_bytes()
    with spool.take(keyring, path) as answer:
        assert answer == ANSWER
    spool.remove(ANSWER)
    assert not list(tmp_path.iterdir())


def test_a_draft_whose_holder_died_counts_if_it_is_complete(tmp_path: Path, keyring: Keyring) -> None:
    spool = Spool(tmp_path)
    spool.put(keyring, ANSWER).close()
    (path,) = spool.waiting()
    draft = path.rename(path.with_suffix(".draft"))
    assert spool.waiting(ANSWER.credential_id) == [draft]
    with spool.take(keyring, draft) as answer:
        assert answer == ANSWER
    content = draft.read_bytes()
    for length in range(len(content)):
        draft.write_bytes(content[:length])
        with spool.take(keyring, draft) as answer:
            assert answer is None, length
    draft.write_bytes(content)
    others = Keyring({"other": bytes(32)}, "other")
    with pytest.raises(SpoolError, match="token key"), spool.take(others, draft):
        pytest.fail("it is complete, but its key is missing")
    spool.remove(ANSWER)
    assert not spool.waiting()
