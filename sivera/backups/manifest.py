"""The manifest of a backup: a JSON file beside the dump, the only record of it, readable without a database."""

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from sivera.errors import SiveraError
from sivera.values import Value


class Outcome(StrEnum):
    """What a check found. `INCONCLUSIVE`: the backup could not be made or checked. `RUNNING`: it is not checked yet."""

    RUNNING = "running"
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"


class Verdict(Value):
    """What a check found; `reason` is a sentence, empty if the backup is verified."""

    outcome: Outcome
    reason: str = ""


class ShapeOfData(Value):
    """What a database holds: its rows by 'schema.table', its constraints and indexes, and its revision."""

    rows: Mapping[str, int]
    constraints: int
    indexes: int
    revision: str | None


class Manifest(BaseModel):
    """A backup: its checksum, what the database held in the snapshot, and what a restore needs.

    `size` is in bytes, `sha256` in hexadecimal. `dump_version` is the major version of the pg_dump that made it; an
    older pg_restore cannot read it. `key_ids` are the token keys that ciphertexts in it name; `sentinels` has, by key
    id, a known text encrypted with that key, in hexadecimal. `outcome`, `reason` and `checked_at` are of the last
    check.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    name: str
    run_id: UUID
    started_at: datetime
    finished_at: datetime
    size: int
    sha256: str
    server_version: str
    dump_version: int
    key_ids: tuple[str, ...]
    sentinels: Mapping[str, str] = {}
    shape: ShapeOfData
    outcome: Outcome = Outcome.RUNNING
    reason: str = ""
    checked_at: datetime | None = None

    @property
    def path(self) -> str:
        """Where the dump lies within the storage."""
        return f"{self.name}.dump"

    @property
    def verdict(self) -> Verdict:
        """What its last check found."""
        return Verdict(outcome=self.outcome, reason=self.reason)

    def checked(self, verdict: Verdict, at: datetime) -> "Manifest":
        """Return the same backup after a check."""
        return self.model_copy(update={"outcome": verdict.outcome, "reason": verdict.reason, "checked_at": at})


class UnreadableManifest(SiveraError):
    """A manifest is damaged, or of another version."""


def parse(name: str, raw: bytes) -> Manifest:
    """Read the manifest of a backup.

    Raises:
        UnreadableManifest: It is damaged, of another version, or of another backup.
    """
    try:
        found = Manifest.model_validate_json(raw)
    except ValidationError:
        raise UnreadableManifest(
            f"the manifest of backup {name} cannot be read: it is damaged, or of another version"
        ) from None
    if found.name != name:
        raise UnreadableManifest(f"the manifest of backup {name} is that of {found.name}: a file was renamed")
    return found


def render(manifest: Manifest) -> bytes:
    """Write a manifest for people and programs."""
    return json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False).encode() + b"\n"
