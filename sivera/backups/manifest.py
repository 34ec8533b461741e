"""The manifest of a backup: a JSON file beside the dump. It is the only record, and needs no database."""

import hmac
from datetime import datetime
from enum import StrEnum
from typing import Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from sivera.crypto import Keyring
from sivera.errors import ConfigurationError, SiveraError
from sivera.values import Value

PURPOSE = "backups/manifest"
"""The purpose that the key for MACs of manifests is derived for."""


class Mismatch(SiveraError):
    """A backup is not what its manifest says, or its manifest is not ours."""


class Outcome(StrEnum):
    """The result of a check. `INCONCLUSIVE`: the backup could not be made or checked. `RUNNING`: not checked yet."""

    RUNNING = "running"
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"


class Verdict(BaseModel):
    """The result of a check; `reason` is empty if the backup is verified."""

    model_config = ConfigDict(frozen=True)

    outcome: Outcome = Outcome.RUNNING
    reason: str = ""


class TableCopy(Value):
    """A table as COPY writes it: its columns, its number of rows, and the size in bytes and SHA-256 of its text."""

    name: str
    columns: tuple[str, ...]
    rows: int
    size: int
    sha256: str


class Manifest(Verdict):
    """A backup: a snapshot of the tables, what a restore needs, and the last check.

    The dump is the text of the tables, in their order, in one gzip stream of `size` bytes. `key_ids` are the token keys
    that its ciphertexts need. `mac` authenticates everything but the verdict, with the token key `mac_key_id`.
    """

    version: Literal[2] = 2
    name: str
    run_id: UUID
    started_at: AwareDatetime
    finished_at: AwareDatetime
    size: int
    revision: str
    tables: tuple[TableCopy, ...]
    key_ids: tuple[str, ...]
    checked_at: AwareDatetime | None = None
    mac_key_id: str = ""
    mac: str = ""

    @property
    def path(self) -> str:
        """The path of the dump within the storage."""
        return f"{self.name}.dump"

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(each.rows for each in self.tables)

    @property
    def text_size(self) -> int:
        """The size of all tables as text, in bytes."""
        return sum(each.size for each in self.tables)

    @property
    def needed_keys(self) -> tuple[str, ...]:
        """The ids of the keys that a restore needs, for the tokens and for the MAC."""
        return tuple(sorted({*self.key_ids, self.mac_key_id} - {""}))

    def checked(self, verdict: Verdict, at: datetime | None) -> Self:
        """Return the manifest after a check that ended at this time, None if that is unknown."""
        return self.model_copy(update={"outcome": verdict.outcome, "reason": verdict.reason, "checked_at": at})

    def signed(self, keyring: Keyring) -> Self:
        """Return the manifest with a MAC. Only the maker of a dump may sign, never a reader of manifests."""
        named = self.model_copy(update={"mac_key_id": keyring.current})
        return named.model_copy(update={"mac": named.authenticate(keyring)})

    def require_ours(self, keyring: Keyring, *, without_keys: bool = False) -> None:
        """Check that a holder of the token key wrote this manifest, and not just someone with access to the storage.

        Raises:
            ConfigurationError: The key of the MAC is missing or, unless `without_keys`, a key of the tokens.
            Mismatch: There is no MAC, or it is wrong.
        """
        if not self.mac:
            raise Mismatch(
                f"the manifest of {self.name} has no MAC, so anyone who can write to the storage may have made it: use "
                "another backup"
            )
        if self.mac_key_id not in keyring.key_ids:
            raise ConfigurationError(
                f"the block token-key lacks '{self.mac_key_id}', which proves that the backup is ours: add it from "
                "your copy. If it is lost, see --trust-storage"
            )
        if not hmac.compare_digest(self.mac.encode(), self.authenticate(keyring).encode()):
            raise Mismatch(
                f"the manifest of {self.name} was changed or forged, or the block token-key has a different key "
                f"'{self.mac_key_id}': use another backup, or the key from your copy"
            )
        if not without_keys and (missing := sorted(set(self.key_ids) - keyring.key_ids)):
            names = ", ".join(f"'{each}'" for each in missing)
            raise ConfigurationError(
                f"the block token-key lacks {names}, which tokens in the backup are encrypted with: add it from your "
                "copy. If it is lost, see --without-keys"
            )

    def authenticate(self, keyring: Keyring) -> str:
        """Return the MAC that the manifest should have."""
        # Without defaults, so that a later version with an additional field gets the same text.
        text = self.model_dump_json(exclude={*Verdict.model_fields, "checked_at", "mac"}, exclude_defaults=True)
        return keyring.authenticate(text.encode(), PURPOSE, self.mac_key_id)
