"""The spool: renewed tokens that the database does not have yet, each in an encrypted file until it does.

A refresh token that rotates is spent when its successor is issued: between the platform's answer and the commit there
is one copy of it. So it is written to disk (fsync of file and folder, renamed in between) before the database is asked;
any other token, once the database has failed. A draft whose holder died before the renaming counts where it is whole.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import BinaryIO

import orjson
from pydantic import ValidationError

from sivera.crypto import Keyring, Place, UndecryptableError
from sivera.errors import ConfigurationError, SiveraError
from sivera.values import GrantTokens, Value

FILE_NAME = re.compile(r"([0-9]+)-([0-9]+)\.(?:tokens|draft)")
"""The ids of the grant and of the attempt, so that two holders on one machine never share a file."""

DRAFT = ".draft"


class SpoolError(SiveraError):
    """A file of the spool cannot be read, so that its grant must not be renewed by the token that is stored."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path, self.why = path, why

    def __str__(self) -> str:
        return (
            f"the renewed tokens in {self.path} cannot be read ({self.why}): bring back the token key that they need, "
            "or delete the file, and the token that is stored is tried"
        )


class Answer(Value):
    """A platform's answer to a renewal, with what its write needs.

    `as_of` is the database's time before the call: the tokens' lifetime counts from then.
    """

    credential_id: int
    generation: int
    owner: str
    attempt_id: int
    as_of: datetime
    duration_ms: int
    tokens: GrantTokens


class Spool:
    """A folder of answers that wait for the database.

    Args:
        folder: Where; made, for its owner alone, where it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prove_writable(self) -> None:
        """Make the folder.

        Raises:
            ConfigurationError: It cannot be written to; nothing should be renewed then.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            writable = os.access(self.folder, os.W_OK | os.X_OK)
        except OSError:
            writable = False
        if not writable:
            raise ConfigurationError(
                f"the folder {self.folder}, which keeps renewed tokens while the database is away, cannot be written "
                "to: mend its permissions, or name another one in SIVERA_SPOOL_DIR"
            )

    def put(self, keyring: Keyring, answer: Answer) -> BinaryIO:
        """Write an answer to disk, and return when it would survive a loss of power.

        Returns the open file: until it is closed, which the end of the process does too, nobody takes the answer up.
        """
        plain = answer.model_dump(mode="json")
        plain["tokens"] |= {
            name: token.get_secret_value() if token else None
            for name, token in (
                ("access_token", answer.tokens.access_token),
                ("refresh_token", answer.tokens.refresh_token),
            )
        }
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
        """Forget an answer that was written, or is no longer of use."""
        final = self._path(answer)
        for path in (final, final.with_suffix(DRAFT)):
            path.unlink(missing_ok=True)

    def waiting(self, credential_id: int | None = None) -> list[Path]:
        """Return the files that wait, of one grant or of all, the earliest attempts first."""
        numbered = [(match, path) for path in self.folder.glob("*") if (match := FILE_NAME.fullmatch(path.name))]
        found = sorted((int(match[2]), path) for match, path in numbered if credential_id in (None, int(match[1])))
        return [path for _, path in found]

    @contextmanager
    def take(self, keyring: Keyring, path: Path) -> Iterator[Answer | None]:
        """Yield what is in a file, and keep others from it meanwhile.

        None where another one has it, or where it is a draft that was never finished.

        Raises:
            SpoolError: It cannot be read.
        """
        try:
            file = path.open("rb")
        except FileNotFoundError:
            yield None
            return
        except OSError as error:
            raise SpoolError(path, str(error)) from None
        with file:
            yield _read(keyring, path, file)

    def _path(self, answer: Answer) -> Path:
        return self.folder / f"{answer.credential_id}-{answer.attempt_id}.tokens"


def _read(keyring: Keyring, path: Path, file: BinaryIO) -> Answer | None:
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return None
    if not path.exists():
        return None  # whoever had it has just removed it
    try:
        content = keyring.decrypt(file.read(), _place(int(path.name.partition("-")[0])))
        return Answer.model_validate_json(content)
    except UndecryptableError as error:
        if path.suffix == DRAFT:
            return None  # its holder has yet to write it, or died over it
        raise SpoolError(path, str(error)) from None
    except ValidationError:
        raise SpoolError(path, "it is damaged") from None
    except (SiveraError, OSError) as error:
        raise SpoolError(path, str(error)) from None


def _place(credential_id: int) -> Place:
    return Place("spool", "tokens", credential_id)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
