"""The sandbox's OAuth tokens: signed and self-describing, so that a restarted sandbox still knows its own."""

import hashlib
import hmac
from enum import StrEnum
from typing import NamedTuple


class TokenKind(StrEnum):
    """What a token is for."""

    ACCESS = "a"
    REFRESH = "r"


class Token(NamedTuple):
    """What a token says: its grant, its number within the grant, and its end (unix seconds, 0 = never)."""

    kind: TokenKind
    grant_id: int
    generation: int
    expires: int


def sign(token: Token, prefix: str, secret: str) -> str:
    """Return the token as text; `prefix` is what the platform's tokens of this kind begin with."""
    body = prefix + "-".join(map(str, token))
    return f"{body}-{_signature(body, secret)}"


def read(text: str, prefix: str, secret: str) -> Token | None:
    """Return what a token says, or None if this sandbox did not sign it."""
    body, _, signature = text.rpartition("-")
    if not body.startswith(prefix) or signature != _signature(body, secret):
        return None
    kind, grant_id, generation, expires = body.removeprefix(prefix).split("-")
    return Token(TokenKind(kind), int(grant_id), int(generation), int(expires))


def _signature(body: str, secret: str) -> str:
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()[:20]
