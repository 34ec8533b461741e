"""Reads a secret from a file of its own, as containers get theirs."""

from pathlib import Path

from pydantic import SecretStr

from sivera.errors import ConfigurationError


def read_secret_file(path: Path, named: str) -> SecretStr:
    """Read a file that holds one secret; white space around it is ignored.

    Args:
        path: The file. Messages do not show it: somebody may have put the secret itself there.
        named: What the message calls the file.

    Raises:
        ConfigurationError: It cannot be read, or is empty.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigurationError(f"{named}: the file cannot be read ({reason}): see that it is there") from None
    if not secret:
        raise ConfigurationError(f"{named}: the file is empty: write the secret into it, and nothing else")
    return SecretStr(secret)
