"""What can go wrong, as types that answer one question: wait, try again, ask a human, or fix our own side?

    SiveraError
    ├── ConfigurationError         our settings, blocks, keys or database: an operator fixes it
    └── PlatformError              a platform's answer, or its silence
        ├── Throttled              wait `retry_after` seconds
        ├── Unavailable            try again: 5xx, timeout, connection lost
        │   ├── Unreached          try again: no connection, so the platform has not seen the call
        │   ├── TimedOut           try again: the platform was still working on the answer
        │   ├── LeftAlone          try again later: it has failed several times
        │   └── InvalidReply       try again: the reply was not what the platform documents
        ├── TokenRejected          the access token is no longer taken: renew it and repeat once
        ├── ReconnectRequired      a human must connect the account again
        │   ├── GrantRevoked       the same, and the platform says that its user withdrew the grant
        │   ├── ScopeMissing       the same, and its user must allow that we read ads
        │   └── NoAdAccounts       the same, with a user who has an ad account
        ├── AccountInaccessible    this account cannot be read with this grant; its siblings can
        ├── Misconfigured          the platform refuses our application, not the user
        │   └── WrongRedirect      the redirect of a consent is not the one that the application has registered
        └── InvalidRequest         the platform refused this request, in words that say nothing of the above

Messages are sentences for a person. They never hold a URL, a header or a token: a platform's URLs can carry secrets.
"""

import re
from enum import StrEnum
from typing import ClassVar

from sivera.values import UNPRINTABLE, PlatformName

LINK_OR_SECRET = re.compile(r"\S*://\S*|Atz[ar]\|\S+|(?!(?:[a-z_.]+|[A-Z_.]+)(?![\w+/|.=-]))[\w+/|.=-]{24,}")
"""Matches URLs, tokens and secrets, but not the long names of fields, in small letters or capitals only, nor ids."""
LONGEST_CODE = 60
"""Of a platform's code, which is a word or a number: Google's longest has 57 letters."""


class SiveraError(Exception):
    """The base of all errors that are raised on purpose."""


class ConfigurationError(SiveraError):
    """A setting, block, key or database of ours is missing or wrong; the message names it and the remedy."""


def _cleaned(text: str) -> str:
    """Return one line of printable text: a platform's words are shown in terminals and stored in the database."""
    return UNPRINTABLE.sub("", " ".join(text.split())).encode(errors="replace").decode()


class ThrottleScope(StrEnum):
    """Who has to wait after a platform's 'slow down'."""

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
    """A call to a platform failed. The message is a sentence without URLs or secrets, the code the platform's own."""

    def __init__(self, platform: PlatformName, message: str, code: str | None = None) -> None:
        self.platform = platform
        self.message = _cleaned(message)
        self.code = None if code is None else LINK_OR_SECRET.sub("...", _cleaned(code))[:LONGEST_CODE]
        super().__init__(platform, self.message, self.code)

    def __repr__(self) -> str:
        # Prefect's log shows it at every retry.
        return f"{type(self).__name__}({str(self)!r})"

    def __str__(self) -> str:
        suffix = f" ({self.code})" if self.code else ""
        return f"{self.platform.value}: {self.message}{suffix}"


class Throttled(PlatformError):
    """The platform says: slow down. `retry_after` is in seconds; `scope` says who has to wait."""

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
    """The platform did not answer, or answered that it is in trouble: the same call may work in a moment.

    `is_silence` says whether it counts towards an outage.
    """

    is_silence: ClassVar[bool] = True


class Unreached(Unavailable):
    """There was no connection: the platform has not seen the call."""


class TimedOut(Unavailable):
    """The answer took too long; one to a smaller question may not."""


class LeftAlone(Unavailable):
    """It has failed several times and is left alone for minutes: an immediate retry is of no use.

    `was_tried` says whether it failed just now, or was not even tried.
    """

    def __init__(self, platform: PlatformName, message: str, code: str | None = None, was_tried: bool = False) -> None:
        super().__init__(platform, message, code)
        self.args = (*self.args, was_tried)
        self.was_tried = was_tried


class InvalidReply(Unavailable):
    """The reply is not what the platform documents: HTML, truncated or malformed JSON, a missing field."""


class TokenRejected(PlatformError):
    """The access token is expired or no longer valid; a renewed one may work."""


class ReconnectRequired(PlatformError):
    """The grant is gone: a person must connect the account again."""


class GrantRevoked(ReconnectRequired):
    """The grant's user has withdrawn it."""


class ScopeMissing(ReconnectRequired):
    """The grant's user did not allow that we read ads."""


class NoAdAccounts(ReconnectRequired):
    """The grant's user has no ad account."""


class AccountInaccessible(PlatformError):
    """The grant works, but not for this account: it is closed, or the permission was withdrawn."""


class Misconfigured(PlatformError):
    """The platform refuses our application: client id, secret, API version or approval."""


class WrongRedirect(Misconfigured):
    """The redirect of a consent is not one that our application has registered."""


class InvalidRequest(PlatformError):
    """The platform refused a request, with a code that we do not know or that says the request is wrong."""
