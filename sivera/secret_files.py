"""Reads a secret from a file of its own, as containers get theirs."""

from pathlib import Path

from pydantic import SecretStr

from sivera.errors import ConfigurationError


def read_secret_file(path: Path, named: str) -> SecretStr:
    """Read a file that holds one secret; ConfigurationError, which calls it `named`, if it cannot be read or is empty.

    Messages do not show the path: somebody may have put the secret itself there.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigurationError(f"{named}: the file cannot be read ({reason}): see that it is there") from None
    if not secret:
        raise ConfigurationError(f"{named}: the file is empty: write the secret into it, and nothing else")
    return SecretStr(secret)
