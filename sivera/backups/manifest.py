"""What is known of a backup: its manifest, a JSON file beside it in the storage, which needs no database to be read."""

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
    """What is known of a backup; `INCONCLUSIVE` says that it could not be made or not be checked."""

    RUNNING = "running"
    VERIFIED = "verified"
    MISMATCH = "mismatch"
    INCONCLUSIVE = "inconclusive"


class Verdict(Value):
    """What a check found; `reason` is a sentence, empty where all is well."""

    outcome: Outcome
    reason: str = ""


class ShapeOfData(Value):
    """What a database holds, and what is restored must hold too: rows by 'schema.table', and what guards them."""

    rows: Mapping[str, int]
    constraints: int
    indexes: int
    revision: str | None


class Manifest(BaseModel):
    """A backup: where its bytes are and how to know them, what the database held in its snapshot, and what it needs.

    `size` is in bytes, `sha256` in hexadecimal. `server_version` is that of the database's server, `dump_version` of
    the pg_dump that made it: an older pg_restore does not read it. `key_ids` are the token keys that its ciphertexts
    name, and `sentinels` what is encrypted with each of them to know it by, in
    hexadecimal: none in a manifest of earlier versions.
    `outcome`, `reason` and `checked_at` are of its last check; RUNNING until there was one.
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
    def verdict(self) -> Verdict:
        """What its last check found."""
        return Verdict(outcome=self.outcome, reason=self.reason)

    def checked(self, verdict: Verdict, at: datetime) -> "Manifest":
        """Return the same backup after a check."""
        return self.model_copy(update={"outcome": verdict.outcome, "reason": verdict.reason, "checked_at": at})


class UnreadableManifest(SiveraError):
    """A manifest is damaged, or of a newer version."""


def parse(name: str, raw: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        UnreadableManifest: It is none of this version's.
    """
    try:
        found = Manifest.model_validate_json(raw)
    except ValidationError:
        raise UnreadableManifest(
            f"the manifest of backup {name} cannot be read: it is damaged, or of a newer version"
        ) from None
    if found.name != name:
        raise UnreadableManifest(
            f"the manifest of backup {name} is that of {found.name}: one was put in the other's place"
        )
    return found


def render(manifest: Manifest) -> bytes:
    """Write a manifest for people and programs."""
    return json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False).encode() + b"\n"
