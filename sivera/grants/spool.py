"""The spool: renewed tokens in encrypted files until the database has them.

A rotating refresh token is spent as soon as its successor is issued, and until the commit there is only one copy of the
successor. So it is first written to disk: write, fsync, rename, fsync of the folder. If a process dies before the
rename, its draft counts if it is complete.
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import BinaryIO

import orjson
from pydantic import ValidationError

from sivera.crypto import Keyring, Place, UndecryptableError
from sivera.errors import ConfigurationError, SiveraError
from sivera.values import GrantTokens, Value

FILE_NAME = re.compile(r"([0-9]+)-([0-9]+)\.(?:tokens|draft)")
"""The ids of the grant and of the attempt, so two holders on one machine never share a file."""

DRAFT = ".draft"
UNREADABLE = ".unreadable"


class SpoolError(SiveraError):
    """A file in the spool cannot be read, so its grant must not be renewed with the stored token."""


class Answer(Value):
    """A platform's answer to a renewal, with everything needed to store it."""

    credential_id: int
    generation: int
    owner: str
    attempt_id: int
    as_of: datetime
    """The database's time before the call, from which the tokens' lifetime counts."""
    duration_ms: int
    tokens: GrantTokens


class Spool:
    """A folder of answers that the database does not have yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prove_writable(self) -> None:
        """Create the folder, readable by its owner only; ConfigurationError if it cannot be written to."""
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(f"{self.folder}/", os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"the folder {self.folder}, which keeps renewed tokens while the database is away, cannot be written "
                "to: fix its permissions, or name another one in SIVERA_SPOOL_DIR"
            )

    def put(self, keyring: Keyring, answer: Answer) -> BinaryIO:
        """Write an answer to disk, safe from a power failure.

        Return the open file. Others cannot take the answer until it is closed or the process has ended.
        """
        plain, tokens = answer.model_dump(mode="json"), answer.tokens
        plain["tokens"]["access_token"] = tokens.access_token.get_secret_value()
        plain["tokens"]["refresh_token"] = tokens.refresh_token and tokens.refresh_token.get_secret_value()
        content = keyring.encrypt(orjson.dumps(plain).decode(), _place(answer.credential_id))
        final = self._path(answer)
        draft = final.with_suffix(DRAFT)
        file = os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        try:
            flock(file, LOCK_EX)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            draft.rename(final)
            _sync_folder(self.folder)
        except OSError:
            file.close()
            raise
        return file

    def remove(self, answer: Answer) -> None:
        """Delete an answer that was stored, or is no longer of use."""
        final = self._path(answer)
        for path in (final, final.with_suffix(DRAFT)):
            path.unlink(missing_ok=True)

    def forget(self, credential_id: int) -> None:
        """Delete all answers of a grant."""
        for path in self.waiting(credential_id):
            path.unlink(missing_ok=True)

    def waiting(self, credential_id: int | None = None) -> list[Path]:
        """Return the files of one grant or of all, the earliest attempts first."""
        numbered = [(match, path) for path in self.folder.glob("*") if (match := FILE_NAME.fullmatch(path.name))]
        found = sorted((int(match[2]), path) for match, path in numbered if credential_id in (None, int(match[1])))
        return [path for _, path in found]

    def attempt_in(self, path: Path) -> tuple[int, int, datetime]:
        """Return the ids of a file's grant and attempt, and when this machine wrote it."""
        credential_id, attempt_id = path.stem.split("-")
        return int(credential_id), int(attempt_id), datetime.fromtimestamp(path.stat().st_mtime, UTC)

    def set_aside(self, path: Path) -> Path:
        """Rename an unreadable file, so that it is kept but no longer taken. Return its new path."""
        return path.rename(path.with_name(f"{path.name}{UNREADABLE}"))

    @contextmanager
    def take(self, keyring: Keyring, path: Path) -> Iterator[Answer | None]:
        """Yield the answer in a file, locked; SpoolError if it cannot be read.

        Yield None if another process has it, or it is an incomplete draft.
        """
        answer: Answer | None = None
        with ExitStack() as held:
            try:
                file = held.enter_context(path.open("rb"))
                flock(file, LOCK_EX | LOCK_NB)
                if path.exists():  # its holder may have removed it just now
                    content = keyring.decrypt(file.read(), _place(int(path.name.partition("-")[0])))
                    answer = Answer.model_validate_json(content)
            except (FileNotFoundError, BlockingIOError):
                pass
            except ValidationError:
                raise _unreadable(path, "it is damaged") from None
            except (SiveraError, OSError) as error:
                # A draft that does not decrypt is still being written, or its holder died while writing it.
                if not (isinstance(error, UndecryptableError) and path.suffix == DRAFT):
                    raise _unreadable(path, error) from None
            yield answer

    def _path(self, answer: Answer) -> Path:
        return self.folder / f"{answer.credential_id}-{answer.attempt_id}.tokens"


def _unreadable(path: Path, why: object) -> SpoolError:
    return SpoolError(
        f"the renewed tokens in {path} cannot be read ({why}): restore the token key that they need, "
        "connect the grant again, or delete the file to try the stored token"
    )


def _place(credential_id: int) -> Place:
    return Place("spool", "tokens", credential_id)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
