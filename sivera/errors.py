"""What can go wrong, as types that answer one question: wait, try again, ask a human, or fix our own side?

    SiveraError
    ├── ConfigurationError         our settings, blocks, keys or database: an operator fixes it
    └── PlatformError              a platform's answer, or its silence
        ├── Throttled              wait `retry_after` seconds
        ├── Unavailable            try again: 5xx, timeout, connection lost
        │   ├── Unreached          try again: no connection
        │   ├── TimedOut           try again, perhaps with a smaller question
        │   ├── LeftAlone          try again later
        │   └── InvalidReply       try again
        ├── TokenRejected          renew the access token and repeat once
        ├── ReconnectRequired      a human must connect the account again
        │   ├── GrantRevoked
        │   ├── ScopeMissing
        │   └── NoAdAccounts
        ├── AccountInaccessible    give this account up; others of the grant can be read
        ├── Misconfigured          fix our application's registration
        │   └── WrongRedirect
        └── InvalidRequest         report it

Messages are sentences for people. They hold no URL, header or token, because a platform's URLs can carry secrets.
"""

import re
from enum import StrEnum
from typing import ClassVar

from sivera.values import UNPRINTABLE, PlatformName

LINK_OR_SECRET = re.compile(r"\S*://\S*|Atz[ar]\|\S+|(?!(?:[a-z_.]+|[A-Z_.]+)(?![\w+/|.=-]))[\w+/|.=-]{24,}")
"""Matches URLs, tokens and secrets, but neither ids nor the long names of fields, all in small letters or capitals."""
LONGEST_CODE = 60
"""The longest code of a platform that is kept. A code is a word or a number; Google's longest has 57 letters."""


class SiveraError(Exception):
    """The base of all errors that we raise on purpose."""


class ConfigurationError(SiveraError):
    """One of our settings, blocks, keys or databases is missing or wrong. The message names it and the remedy."""


def _cleaned(text: str) -> str:
    """Return one line of printable text. A platform's words are shown in terminals and stored in the database."""
    return UNPRINTABLE.sub("", " ".join(text.split())).encode(errors="replace").decode()


class ThrottleScope(StrEnum):
    """Which calls a platform's 'slow down' stops."""

    ACCOUNT_ENDPOINT = "account_endpoint"
    """This kind of call for one ad account, such as Meta's insights."""
    ACCOUNT = "account"
    ENDPOINT = "endpoint"
    """This kind of call for every account, such as Amazon's requests for reports of one type."""
    USER = "user"
    """Every call with this grant's token."""
    PLATFORM = "platform"
    """Every call of our application."""


class PlatformError(SiveraError):
    """A call to a platform failed. The message has no URL or secret; the code is the platform's own."""

    def __init__(self, platform: PlatformName, message: str, code: str | None = None) -> None:
        self.platform = platform
        self.message = _cleaned(message)
        self.code = None if code is None else LINK_OR_SECRET.sub("...", _cleaned(code))[:LONGEST_CODE]
        super().__init__(platform, self.message, self.code)

    def __repr__(self) -> str:
        # Prefect logs it at every retry.
        return f"{type(self).__name__}({str(self)!r})"

    def __str__(self) -> str:
        suffix = f" ({self.code})" if self.code else ""
        return f"{self.platform.value}: {self.message}{suffix}"


class Throttled(PlatformError):
    """The platform says 'slow down' to the calls of a `scope`. `retry_after` is in seconds."""

    def __init__(
        self,
        platform: PlatformName,
        message: str,
        code: str | None = None,
        retry_after: float = 60.0,
        scope: ThrottleScope = ThrottleScope.PLATFORM,
    ) -> None:
        super().__init__(platform, message, code)
        self.args = (*self.args, retry_after, scope)
        self.retry_after = retry_after
        self.scope = scope


class Unavailable(PlatformError):
    """The platform did not answer, or is in trouble. `is_silence` says whether that counts towards an outage."""

    is_silence: ClassVar[bool] = True


class Unreached(Unavailable):
    """There was no connection, so the platform has not seen the call."""


class TimedOut(Unavailable):
    """The answer took too long. A smaller question may be answered in time."""


class LeftAlone(Unavailable):
    """It failed several times and rests for minutes. `was_tried` if it has just failed, not if it was left out."""

    def __init__(self, platform: PlatformName, message: str, code: str | None = None, was_tried: bool = False) -> None:
        super().__init__(platform, message, code)
        self.args = (*self.args, was_tried)
        self.was_tried = was_tried


class InvalidReply(Unavailable):
    """The reply is not what the platform documents: HTML, truncated or malformed JSON, a missing field."""


class TokenRejected(PlatformError):
    """The access token is expired or no longer valid; a renewed one may work."""


class ReconnectRequired(PlatformError):
    """The grant no longer works: a person must connect the account again."""


class GrantRevoked(ReconnectRequired):
    """The user has revoked the grant."""


class ScopeMissing(ReconnectRequired):
    """The user did not allow us to read ads."""


class NoAdAccounts(ReconnectRequired):
    """The user has no ad account."""


class AccountInaccessible(PlatformError):
    """The grant works, but not for this account, which is closed or no longer shared with the user."""


class Misconfigured(PlatformError):
    """The platform refuses our application, not the user: client id, secret, API version or approval."""


class WrongRedirect(Misconfigured):
    """The redirect of a consent is not one that our application has registered."""


class InvalidRequest(PlatformError):
    """The platform refused a request with a code that we do not know, or that calls the request invalid."""
