"""The spool: renewed tokens that the database could not take, each in an encrypted file until it can.

A refresh token that rotates is spent when its successor is issued: between the platform's answer and the commit there
is one copy of it. Where the database goes away in that moment, the copy is written to disk (fsync of file and folder,
renamed in between) before anything else is tried.
"""

import logging
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr, ValidationError

from sivera.crypto import Keyring, Place
from sivera.errors import ConfigurationError, SiveraError
from sivera.values import GrantTokens, Value

logger = logging.getLogger(__name__)

SUFFIX = ".tokens"


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


class _Sealed(Value):
    """An answer as it is encrypted: its tokens in plain."""

    answer: Answer
    access_token: str
    refresh_token: str | None


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

    def put(self, keyring: Keyring, answer: Answer) -> None:
        """Write an answer to disk, and return when it would survive a loss of power."""
        refresh = answer.tokens.refresh_token
        sealed = _Sealed(
            answer=answer,
            access_token=answer.tokens.access_token.get_secret_value(),
            refresh_token=refresh.get_secret_value() if refresh else None,
        )
        content = keyring.encrypt(sealed.model_dump_json(), _place(answer.credential_id))
        final = self._path(answer)
        draft = final.with_suffix(f".{os.getpid()}.draft")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(final)
        _sync_folder(self.folder)

    def remove(self, answer: Answer) -> None:
        """Forget an answer that was written, or is no longer of use."""
        self._path(answer).unlink(missing_ok=True)

    def waiting(self, keyring: Keyring, credential_id: int | None = None) -> Iterator[Answer]:
        """Yield what waits, of one grant or of all, in the order of generations.

        A file that cannot be read stays where it is, and is told of in the log.
        """
        pattern = f"{'*' if credential_id is None else credential_id}-*{SUFFIX}"
        for path in sorted(self.folder.glob(pattern), key=lambda path: [int(n) for n in path.stem.split("-")]):
            try:
                yield _read(keyring, path)
            except FileNotFoundError:
                continue  # another process has taken it up
            except (SiveraError, ValidationError, OSError) as error:
                # Without the traceback: it adds nothing, and the next run says it again.
                logger.error("The renewed tokens in %s cannot be read (%s)", path, type(error).__name__)  # noqa: TRY400

    def _path(self, answer: Answer) -> Path:
        return self.folder / f"{answer.credential_id}-{answer.generation}{SUFFIX}"


def _read(keyring: Keyring, path: Path) -> Answer:
    credential_id = int(path.stem.partition("-")[0])
    sealed = _Sealed.model_validate_json(keyring.decrypt(path.read_bytes(), _place(credential_id)))
    tokens = GrantTokens(
        access_token=SecretStr(sealed.access_token),
        refresh_token=SecretStr(sealed.refresh_token) if sealed.refresh_token is not None else None,
        expires_in=sealed.answer.tokens.expires_in,
    )
    return sealed.answer.model_copy(update={"tokens": tokens})


def _place(credential_id: int) -> Place:
    return Place("spool", "tokens", credential_id)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
