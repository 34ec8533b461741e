"""The keys that encrypt the tokens in the database, as a block."""

import base64
import binascii
import secrets
from collections.abc import Callable
from typing import Self

from prefect.types import SecretDict
from pydantic import Field, model_validator

from blocks.names import TOKEN_KEY
from blocks.server import StrictBlock, load
from sivera.crypto import KEY_BYTES, Keyring
from sivera.errors import ConfigurationError


class TokenKey(StrictBlock):
    """The keys that encrypt tokens in the database.

    A token can be read only while the key that encrypted it is here, so add keys and never replace them.
    """

    _block_type_name = "Token Key"

    keys: SecretDict = Field(description="The keys by id, each 32 bytes in base64url.")
    current: str = Field(description="The id of the key that encrypts new values.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._decoded()
        if self.current not in self.keys.get_secret_value():
            raise ValueError(f"current names the key '{self.current}', which is not among the keys: add it there")
        return self

    @classmethod
    def generate(cls) -> Self:
        """Return a block with one fresh random key."""
        key_id = secrets.token_hex(4)
        key = base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        return cls(keys=SecretDict({key_id: key}), current=key_id)

    def with_new_key(self) -> Self:
        """Return a block with another key, which is random and becomes current."""
        added = type(self).generate()
        keys = {**self.keys.get_secret_value(), **added.keys.get_secret_value()}
        return type(self)(keys=SecretDict(keys), current=added.current)

    def with_keys_of(self, other: "TokenKey") -> Self:
        """Return a block with the keys of both; ConfigurationError if they have different keys for the same id."""
        ours, theirs = self.keys.get_secret_value(), other.keys.get_secret_value()
        for key_id in sorted(ours.keys() & theirs.keys()):
            if ours[key_id] != theirs[key_id]:
                raise ConfigurationError(
                    f"the token key '{key_id}' differs from the saved one, which tokens may need: give it another id"
                )
        return type(self)(keys=SecretDict({**theirs, **ours}), current=self.current)

    def get_keyring(self, reload: Callable[[], Keyring] | None = None) -> Keyring:
        """Return the keyring of these keys; `reload` loads it again after a change of keys."""
        return Keyring(self._decoded(), self.current, reload)

    def _decoded(self) -> dict[str, bytes]:
        return {key_id: _decode(key_id, key) for key_id, key in self.keys.get_secret_value().items()}


def load_keyring(reload: Callable[[], Keyring] | None = None) -> Keyring:
    """Load the keyring of the tokens in the database; see `TokenKey.get_keyring` and `blocks.server.load`."""
    return load_token_key().get_keyring(reload)


def load_token_key() -> TokenKey:
    """Load the keys of the tokens in the database; see `blocks.server.load`."""
    return load(TokenKey, TOKEN_KEY, "make it with `sivera deploy`, or restore it from your copy")


def _decode(key_id: str, text: object) -> bytes:
    try:
        key = base64.b64decode(str(text).encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError(f"key '{key_id}' is not base64url: write 32 bytes as 44 characters") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"key '{key_id}' has {len(key)} bytes and needs {KEY_BYTES}")
    return key
