"""The secret of the HTTP API, as a block."""

import hashlib
import hmac
import secrets
import time
from datetime import datetime
from typing import Self

from pydantic import AwareDatetime, Field, SecretStr, field_validator, model_validator

from blocks.names import CRON_SECRET
from blocks.server import ServerBusyError, StrictBlock, load

MIN_LENGTH = 16
"""Shorter secrets can be guessed, and an empty one would match a caller that sends nothing."""

REMEDY = "save one with `sivera secret set`"


class CronSecret(StrictBlock):
    """The secret that callers of the HTTP API send, and the previous one, which is accepted for a while."""

    _block_type_name = "Cron Secret"

    # Prefect masks a plain SecretStr, but not an annotated one.
    current: SecretStr = Field(description="The secret: 16 characters or more, as `sivera secret generate` prints.")
    previous: SecretStr | None = Field(default=None, description="The previous secret, accepted for a while.")
    previous_until: AwareDatetime | None = Field(default=None, description="When the previous secret expires.")

    @field_validator("current", "previous")
    @classmethod
    def _check(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None:
            return None
        text = secret.get_secret_value()
        if len(text) < MIN_LENGTH:
            raise ValueError(f"it is shorter than {MIN_LENGTH} characters: make one with `sivera secret generate`")
        if not all("!" <= character <= "~" for character in text):
            raise ValueError("it contains a space or a non-ASCII character, which a header cannot carry: leave it out")
        return secret

    @model_validator(mode="after")
    def _check_previous(self) -> Self:
        if self.previous and not self.previous_until:
            raise ValueError("previous has no end: set previous_until, or remove previous")
        return self

    def replace(self, secret: SecretStr, until: datetime | None) -> Self:
        """Return a block with another secret. The current one stays valid until `until`, or ends now without it."""
        if until and secret == self.current:
            return self
        kept = {"previous": self.current, "previous_until": until} if until else {}
        return type(self).model_validate({"current": secret, **kept})

    def matches(self, sent: bytes, now: datetime) -> bool:
        """Return whether a caller sent the secret, in a time that reveals nothing about it."""
        is_current = _is_same(sent, self.current)
        is_previous = self.previous is not None and _is_same(sent, self.previous)
        return is_current or (is_previous and self.previous_until is not None and now < self.previous_until)


def generate_secret() -> SecretStr:
    """Return a fresh random secret of 256 bits."""
    return SecretStr(secrets.token_urlsafe(32))


def load_cron_secret(busy_seconds: float = 0) -> CronSecret:
    """Load the secret of the HTTP API. Ask a busy server again for `busy_seconds`. See `blocks.server.load`."""
    until = time.monotonic() + busy_seconds
    while True:
        try:
            return load(CronSecret, CRON_SECRET, REMEDY)
        except ServerBusyError:
            if time.monotonic() >= until:
                raise


def _is_same(sent: bytes, secret: SecretStr) -> bool:
    # Hashes have equal lengths, so the time does not reveal even the length of the secret.
    theirs, ours = (hashlib.sha256(value).digest() for value in (sent, secret.get_secret_value().encode()))
    return hmac.compare_digest(theirs, ours)
