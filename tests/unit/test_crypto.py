"""Tokens at rest: a ciphertext decrypts in its own place, and nowhere else."""

import os

import pytest
from cryptography.exceptions import InvalidTag

from sivera.crypto import NONCE_BYTES, Keyring, Place, UndecryptableError, _cipher
from sivera.errors import ConfigurationError

PLACE = Place("platform_credentials", "access_token", 7)
OLD, NEW = os.urandom(32), os.urandom(32)


def test_a_ciphertext_decrypts_only_in_its_own_place(keyring: Keyring) -> None:
    sealed = keyring.encrypt("tökén", PLACE)
    assert "tökén".encode() not in sealed
    assert keyring.decrypt(sealed, PLACE) == "tökén"
    assert keyring.encrypt("tökén", PLACE) != sealed
    for elsewhere in (
        Place(PLACE.table, PLACE.column, 8),
        Place(PLACE.table, "refresh_token", 7),
        Place("sessions", PLACE.column, 7),
    ):
        with pytest.raises(UndecryptableError, match=str(elsewhere)):
            keyring.decrypt(sealed, elsewhere)


def test_each_column_has_its_own_key(keyring: Keyring) -> None:
    """Both ciphers get the same associated data here, so only the key can tell the columns apart."""
    sealed = keyring.encrypt("t", PLACE)[2 + len("k1") :]
    nonce, ciphertext, place = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], str(PLACE).encode()
    key = keyring._keys.by_id["k1"]
    assert _cipher(key, PLACE.column).decrypt(nonce, ciphertext, place) == b"t"
    with pytest.raises(InvalidTag):
        _cipher(key, "refresh_token").decrypt(nonce, ciphertext, place)


def test_a_damaged_ciphertext_is_noticed(keyring: Keyring) -> None:
    sealed = keyring.encrypt("t", PLACE)
    flipped = [bytes([*sealed[:n], sealed[n] ^ 1, *sealed[n + 1 :]]) for n in range(len(sealed))]
    for damaged in (*flipped, *(sealed[:n] for n in range(len(sealed))), b"plain text"):
        with pytest.raises((UndecryptableError, ConfigurationError)):
            keyring.decrypt(damaged, PLACE)


def test_an_older_key_still_decrypts_and_a_missing_or_different_one_is_named() -> None:
    sealed = Keyring({"old": OLD}, "old").encrypt("t", PLACE)
    both = Keyring({"old": OLD, "new": NEW}, "new")
    assert both.decrypt(sealed, PLACE) == "t"
    assert Keyring.key_id(both.encrypt("t", PLACE), PLACE) == "new"
    with pytest.raises(ConfigurationError, match="'old'"):
        Keyring({"new": NEW}, "new").decrypt(sealed, PLACE)
    with pytest.raises(UndecryptableError, match="a different one"):
        Keyring({"old": NEW}, "old").decrypt(sealed, PLACE)


def test_a_keyring_checks_its_keys_and_shows_none() -> None:
    with pytest.raises(ConfigurationError, match="'short' has 3 bytes"):
        Keyring({"short": b"abc"}, "short")
    with pytest.raises(ConfigurationError, match="'gone' is named as current"):
        Keyring({"k": OLD}, "gone")
    assert OLD.hex() not in repr(Keyring({"k": OLD}, "k"))
