"""The one way to read a secret that lies in a file of its own, as containers are given theirs."""

from pathlib import Path

from pydantic import SecretStr

from sivera.errors import ConfigurationError


def read_secret_file(path: Path, named: str) -> SecretStr:
    """Read a file that holds a secret and nothing else but white space around it.

    Args:
        path: Where it is. It is not shown: somebody may have put the secret itself in its place.
        named: What names the file, for a person.

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
