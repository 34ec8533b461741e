"""Tokens at rest: what is encrypted comes back in its own place, and nowhere else."""

import os

import pytest
from cryptography.exceptions import InvalidTag

from sivera.crypto import NONCE_BYTES, Keyring, Place, UndecryptableError, _cipher
from sivera.errors import ConfigurationError

PLACE = Place("platform_credentials", "access_token", 7)
OLD, NEW = os.urandom(32), os.urandom(32)


def test_what_is_encrypted_comes_back_and_never_looks_the_same_twice(keyring: Keyring) -> None:
    sealed = keyring.encrypt("tökén", PLACE)
    assert "tökén".encode() not in sealed
    assert keyring.decrypt(sealed, PLACE) == "tökén"
    assert keyring.encrypt("tökén", PLACE) != sealed


@pytest.mark.parametrize(
    "elsewhere",
    [
        Place("platform_credentials", "access_token", 8),
        Place("platform_credentials", "refresh_token", 7),
        Place("sessions", "access_token", 7),
    ],
)
def test_a_value_moved_to_another_place_does_not_decrypt(keyring: Keyring, elsewhere: Place) -> None:
    sealed = keyring.encrypt("t", PLACE)
    with pytest.raises(UndecryptableError, match=str(elsewhere)):
        keyring.decrypt(sealed, elsewhere)


def test_each_column_has_a_key_of_its_own(keyring: Keyring) -> None:
    """The place that is bound in is not what tells the columns apart here: it is the same for both ciphers."""
    other = Place(PLACE.table, "refresh_token", PLACE.row_id)
    sealed = keyring.encrypt("t", other)[2 + len("k1") :]
    ciphers = {place.column: _cipher(keyring._keys.by_id["k1"], place.column) for place in (PLACE, other)}
    nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    assert ciphers["refresh_token"].decrypt(nonce, ciphertext, str(other).encode()) == b"t"
    with pytest.raises(InvalidTag):
        ciphers["access_token"].decrypt(nonce, ciphertext, str(other).encode())


def test_a_flipped_bit_is_noticed(keyring: Keyring) -> None:
    sealed = keyring.encrypt("t", PLACE)
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises((UndecryptableError, ConfigurationError)):
            keyring.decrypt(bytes(damaged), PLACE)


@pytest.mark.parametrize("damaged", [b"", b"\x01", b"\x02\x02k1", b"\x01\x02k", b"\x01\x02k1short", b"plain text"])
def test_what_is_no_ciphertext_is_said_to_be_none(keyring: Keyring, damaged: bytes) -> None:
    with pytest.raises(UndecryptableError):
        keyring.decrypt(damaged, PLACE)


def test_an_older_key_still_decrypts_and_a_missing_or_another_one_is_named() -> None:
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
