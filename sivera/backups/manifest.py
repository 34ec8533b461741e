"""The manifest of a backup: a JSON file beside the dump, the only record of it, readable without a database."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from sivera.values import Value


class Outcome(StrEnum):
    """What a check found. `INCONCLUSIVE`: the backup could not be made or checked. `RUNNING`: it is not checked yet."""

    RUNNING = "running"
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"


class Verdict(BaseModel):
    """What a check found; `reason` is a sentence, empty if the backup is verified."""

    model_config = ConfigDict(frozen=True)

    outcome: Outcome = Outcome.RUNNING
    reason: str = ""


class ShapeOfData(Value):
    """What a database holds: its rows by 'schema.table', and its revision."""

    rows: Mapping[str, int]
    revision: str | None


class Manifest(Verdict):
    """A backup: its checksum, what the database held in the snapshot, what a restore needs, and its last check.

    `size` is in bytes, `sha256` in hexadecimal. `dump_version` is the major version of the pg_dump that made it; an
    older pg_restore cannot read it. `key_ids` are the token keys that ciphertexts in it name; `sentinels` has, by key
    id, a known text encrypted with that key, in hexadecimal.
    """

    version: Literal[1] = 1
    name: str
    run_id: UUID
    started_at: datetime
    finished_at: datetime
    size: int
    sha256: str
    dump_version: int
    key_ids: tuple[str, ...]
    sentinels: Mapping[str, str] = {}
    shape: ShapeOfData
    checked_at: datetime | None = None

    @property
    def path(self) -> str:
        """Where the dump lies within the storage."""
        return f"{self.name}.dump"

    def checked(self, verdict: Verdict, at: datetime) -> "Manifest":
        """Return the same backup after a check."""
        return self.model_copy(update={"outcome": verdict.outcome, "reason": verdict.reason, "checked_at": at})
