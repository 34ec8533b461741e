"""Encryption of tokens at rest: AES-256-GCM, several keys with ids, and ciphertext that fits only its own place.

A ciphertext is one version byte, the key id (its length in one byte, then its bytes), a 12-byte nonce (NIST SP 800-38D,
8.2.2) and what AES-GCM gives. The place (table, column and row) is bound in as associated data, so that a value copied
to another row or column does not decrypt; each column has a key of its own, derived with HKDF (RFC 5869).
"""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sivera.errors import ConfigurationError, SiveraError

KEY_BYTES = 32
NONCE_BYTES = 12
VERSION = 1
RELOAD_SECONDS = 60.0


class UndecryptableError(SiveraError):
    """A stored value is damaged, or was moved from another row or column."""


@dataclass(frozen=True)
class Place:
    """Where a ciphertext lives."""

    table: str
    column: str
    row_id: int | str

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of row {self.row_id}"


class Keyring:
    """The keys that decrypt, and the one that encrypts.

    Args:
        keys: Key id (at most 255 bytes of UTF-8) to 32 bytes of key.
        current: The id of the key that new values are encrypted with.
        reload: Gives the keyring as it is now, for a process that began before its keys changed.

    Raises:
        ConfigurationError: A key is not of 32 bytes, or the current one is not among them.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str, reload: "Callable[[], Keyring] | None" = None) -> None:
        self._reload, self._reloaded_at = reload, -math.inf
        self._set(keys, current)
        self._cipher = cache(self._derive)

    def _set(self, keys: Mapping[str, bytes], current: str) -> None:
        for key_id, key in keys.items():
            if len(key) != KEY_BYTES:
                raise ConfigurationError(
                    f"token key '{key_id}' has {len(key)} bytes and needs {KEY_BYTES}: mend it in the token-key block"
                )
        if current not in keys:
            raise ConfigurationError(f"token key '{current}' is named as current but is not in the token-key block")
        self._keys = dict(keys)
        self.current = current

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of all keys."""
        return frozenset(self._keys)

    @property
    def prefix(self) -> bytes:
        """What every ciphertext begins with that the current key encrypted."""
        return _prefix(self.current)

    def follow(self, current: str | None) -> None:
        """Load the keys anew, at most once a minute, where the current key is not the one that it should be by now."""
        if current not in (None, self.current):
            self._load_anew()

    def _load_anew(self) -> None:
        if self._reload is None or time.monotonic() - self._reloaded_at < RELOAD_SECONDS:
            return
        self._reloaded_at = time.monotonic()
        newer = self._reload()
        self._set(newer._keys, newer.current)  # noqa: SLF001 - one of its own kind
        self._cipher = cache(self._derive)

    def __repr__(self) -> str:
        return f"Keyring(keys={sorted(self._keys)}, current={self.current!r})"

    def encrypt(self, plaintext: str, place: Place) -> bytes:
        """Encrypt a text for its place with the current key."""
        nonce, key_id = os.urandom(NONCE_BYTES), self.current
        sealed = self._cipher(key_id, place.column).encrypt(nonce, plaintext.encode(), str(place).encode())
        return _prefix(key_id) + nonce + sealed

    def decrypt(self, ciphertext: bytes, place: Place) -> str:
        """Decrypt what `encrypt` gave for the same place.

        Raises:
            ConfigurationError: The key it was encrypted with is not in the keyring.
            UndecryptableError: It is damaged, or belongs to another place, or the key of that id is another one.
        """
        key_id = self.key_id(ciphertext, place)
        if key_id not in self._keys:
            self._load_anew()
        if key_id not in self._keys:
            raise ConfigurationError(f"{place} needs token key '{key_id}': add it to the token-key block")
        start = 2 + len(key_id.encode())
        nonce, sealed = ciphertext[start : start + NONCE_BYTES], ciphertext[start + NONCE_BYTES :]
        try:
            return self._cipher(key_id, place.column).decrypt(nonce, sealed, str(place).encode()).decode()
        except (InvalidTag, ValueError):
            raise UndecryptableError(
                f"{place} does not decrypt with token key '{key_id}': the value is damaged or the key is another one"
            ) from None

    @staticmethod
    def key_id(ciphertext: bytes, place: Place) -> str:
        """Return the id of the key that a ciphertext needs."""
        if len(ciphertext) < 2 or ciphertext[0] != VERSION:
            raise UndecryptableError(f"{place} is not a ciphertext of ours")
        return ciphertext[2 : 2 + ciphertext[1]].decode(errors="replace")

    def _derive(self, key_id: str, column: str) -> AESGCM:
        hkdf = HKDF(SHA256(), KEY_BYTES, salt=None, info=f"sivera/{column}".encode())
        return AESGCM(hkdf.derive(self._keys[key_id]))


def _prefix(key_id: str) -> bytes:
    encoded = key_id.encode()
    return bytes([VERSION, len(encoded)]) + encoded
