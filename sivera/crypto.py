"""Encryption of tokens at rest: AES-256-GCM, several keys with ids, and ciphertext bound to its place.

A ciphertext is one version byte, the key id (its length in one byte, then its bytes), a 12-byte nonce (NIST SP 800-38D,
8.2.2) and the output of AES-GCM. The place (table, column and row) is its associated data, so a value that is copied
to another row or column does not decrypt. Each column, and each purpose of `authenticate`, has its own key, derived
with HKDF (RFC 5869).
"""

import hashlib
import hmac
import json
import math
import os
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sivera.errors import ConfigurationError, SiveraError

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
VERSION = 1
RELOAD_SECONDS = 5.0
"""The least time between two loads of the keys because of a key id that is not among them."""


class UndecryptableError(SiveraError):
    """A stored value is damaged, or was copied from another row or column."""


@dataclass(frozen=True)
class Place:
    """Where a ciphertext is stored."""

    table: str
    column: str
    row_id: int | str

    def __str__(self) -> str:
        return f"{self.table}.{self.column} of row {self.row_id}"


class _Keys(NamedTuple):
    """An unchanging set of keys, which threads can use while a newer one is loaded."""

    by_id: Mapping[str, bytes]
    current: str


class Keyring:
    """The keys that decrypt, by id (at most 255 bytes of UTF-8), and the one that encrypts. Threads may share it.

    `reload` returns the keyring as it is now, for a process that started before the keys changed. ConfigurationError if
    a key does not have 32 bytes, or the current one is missing.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str, reload: "Callable[[], Keyring] | None" = None) -> None:
        for key_id, key in keys.items():
            if len(key) != KEY_BYTES:
                raise ConfigurationError(
                    f"token key '{key_id}' has {len(key)} bytes and needs {KEY_BYTES}: fix it in the token-key block"
                )
        if current not in keys:
            raise ConfigurationError(
                f"token key '{current}' is named as current but is not in the token-key block: add it there"
            )
        self._keys = _Keys(dict(keys), current)
        self._reload, self._reloaded_at, self._lock = reload, -math.inf, threading.Lock()

    @property
    def current(self) -> str:
        """The id of the key that encrypts."""
        return self._keys.current

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of all keys."""
        return frozenset(self._keys.by_id)

    @property
    def prefix(self) -> bytes:
        """The first bytes of every ciphertext made with the current key."""
        return _prefix(self.current)

    def follow(self, current: str | None) -> None:
        """Reload the keys unless this one is current already."""
        if current is not None:
            self._reload_unless(lambda: self.current == current)

    def _reload_unless(self, is_enough: Callable[[], bool]) -> None:
        """Reload the keys, while other threads wait, unless they are enough or were loaded a moment ago."""
        if is_enough() or self._reload is None:
            return
        with self._lock:
            if is_enough() or time.monotonic() - self._reloaded_at < RELOAD_SECONDS:
                return
            self._keys = self._reload()._keys  # noqa: SLF001 - one of its own kind
            self._reloaded_at = time.monotonic()

    def __repr__(self) -> str:
        return f"Keyring(keys={sorted(self.key_ids)}, current={self.current!r})"

    def encrypt(self, plaintext: str, place: Place) -> bytes:
        """Encrypt a text for its place with the current key."""
        nonce, keys = os.urandom(NONCE_BYTES), self._keys
        sealed = _cipher(keys.by_id[keys.current], place.column).encrypt(nonce, plaintext.encode(), str(place).encode())
        return _prefix(keys.current) + nonce + sealed

    def decrypt(self, ciphertext: bytes, place: Place) -> str:
        """Decrypt what `encrypt` returned for the same place.

        Raises:
            ConfigurationError: The keyring lacks the key that encrypted it.
            UndecryptableError: It is damaged, belongs to another place, or another key has this id.
        """
        key_id = self.key_id(ciphertext, place)
        self._reload_unless(lambda: key_id in self.key_ids)
        keys = self._keys
        if key_id not in keys.by_id:
            raise ConfigurationError(f"{place} needs token key '{key_id}': add it to the token-key block")
        start = 2 + len(key_id.encode())
        nonce, sealed = ciphertext[start : start + NONCE_BYTES], ciphertext[start + NONCE_BYTES :]
        try:
            return _cipher(keys.by_id[key_id], place.column).decrypt(nonce, sealed, str(place).encode()).decode()
        except (InvalidTag, ValueError):
            raise UndecryptableError(
                f"{place} does not decrypt with token key '{key_id}': it is damaged, or the key is a different one"
            ) from None

    def authenticate(self, message: bytes, purpose: str, key_id: str) -> str:
        """Return the HMAC-SHA-256 (RFC 2104) of a message, in hexadecimal. Each purpose has its own key."""
        return hmac.new(_derive(self._keys.by_id[key_id], purpose), message, hashlib.sha256).hexdigest()

    @staticmethod
    def key_id(ciphertext: bytes, place: Place) -> str:
        """Return the id of the key that a ciphertext needs; UndecryptableError if it is not a ciphertext of ours."""
        if len(ciphertext) < 2 or ciphertext[0] != VERSION:
            raise UndecryptableError(f"{place} is not a ciphertext of ours")
        if len(ciphertext) < 2 + ciphertext[1] + NONCE_BYTES + TAG_BYTES:
            raise UndecryptableError(f"{place} is damaged: it is cut off")
        return ciphertext[2 : 2 + ciphertext[1]].decode(errors="replace")


def to_address(keyring: Keyring, facts: Mapping[str, object], place: Place) -> str:
    """Encrypt facts as text that can be part of an address."""
    return urlsafe_b64encode(keyring.encrypt(json.dumps(facts), place)).decode().rstrip("=")


def from_address(keyring: Keyring, text: str, place: Place) -> dict[str, Any]:
    """Return the facts in a text of `to_address`; UndecryptableError if it was not made here for this place."""
    try:
        facts: dict[str, Any] = json.loads(keyring.decrypt(urlsafe_b64decode(text + "=" * (-len(text) % 4)), place))
    except (ConfigurationError, ValueError):
        raise UndecryptableError(f"{place} was not made here") from None
    return facts


@lru_cache(maxsize=64)
def _cipher(key: bytes, column: str) -> AESGCM:
    return AESGCM(_derive(key, column))


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"sivera/{purpose}".encode()).derive(key)


def _prefix(key_id: str) -> bytes:
    encoded = key_id.encode()
    return bytes([VERSION, len(encoded)]) + encoded
