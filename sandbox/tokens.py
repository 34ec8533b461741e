"""The sandbox's OAuth tokens: signed and self-describing, so that a restarted sandbox still knows its own."""

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum


class TokenKind(StrEnum):
    """What a token is for."""

    ACCESS = "a"
    REFRESH = "r"


@dataclass(frozen=True)
class Token:
    """What a token says: its grant, its number within the grant, and its end (unix seconds, 0 = never)."""

    kind: TokenKind
    grant_id: int
    generation: int
    expires: int


def sign(token: Token, prefix: str, secret: str) -> str:
    """Return the token as text; `prefix` is what the platform's tokens begin with."""
    body = f"{token.kind.value}-{token.grant_id}-{token.generation}-{token.expires}"
    return f"{prefix}{body}-{_signature(body, prefix, secret)}"


def read(text: str, prefix: str, secret: str) -> Token | None:
    """Return what a token says, or None if this sandbox did not sign it."""
    body, _, signature = text.removeprefix(prefix).rpartition("-")
    if (
        not text.isascii()
        or not text.startswith(prefix)
        or not hmac.compare_digest(signature, _signature(body, prefix, secret))
    ):
        return None
    kind, grant_id, generation, expires = body.split("-")
    return Token(TokenKind(kind), int(grant_id), int(generation), int(expires))


def _signature(body: str, prefix: str, secret: str) -> str:
    return hmac.new(secret.encode(), f"{prefix}{body}".encode(), hashlib.sha256).hexdigest()[:20]
