"""Why a consent in the browser led to no grant, in words that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from sivera.errors import (
    Misconfigured,
    NoAdAccounts,
    PlatformError,
    ReconnectRequired,
    ScopeMissing,
    SiveraError,
    WrongRedirect,
)
from sivera.values import UNPRINTABLE, PlatformName

MAX_QUOTE = 150


class Refusal(Enum):
    """Why a consent led to no grant, and what to do."""

    DENIED = "The access was denied on the consent page. Begin again, and allow it."
    SCOPE_MISSING = "The consent does not let us read ads. Begin again, and leave every permission ticked."
    NO_ACCOUNTS = "This user reaches no ad account. Begin again, and log in as a user who can read one."
    APP_REFUSED = "The platform refuses our application. Check its keys, its approval and its scopes."
    WRONG_REDIRECT = "The redirect is not registered with our application. Add it there, to the letter."
    CODE_REFUSED = "The platform does not take its own code: it has expired or was used. Begin again."
    PLATFORM_FAILED = "The platform could not finish the consent. Begin again in a moment."
    STATE_UNKNOWN = "This answer belongs to no consent that was begun here. Begin again."
    STATE_EXPIRED = "The consent took longer than ten minutes. Begin again."
    STATE_USED = "This answer was used before. If nothing was connected, begin again."
    OTHER_BROWSER = "The consent was begun in another browser. Begin again in this one."
    OTHER_PLATFORM = "This answer is not the one of the platform that was asked. Begin again."
    LINK_USED = "This link was used before. Ask for a new one."
    LINK_UNKNOWN = "This link was not made here, or was changed. Copy it whole, or ask for a new one."
    LINK_EXPIRED = "This link is older than 24 hours. Ask for a new one."


ERRORS = {
    "access_denied": Refusal.DENIED,
    "redirect_uri_mismatch": Refusal.WRONG_REDIRECT,
    **dict.fromkeys(
        (
            "unauthorized_client",
            "unsupported_response_type",
            "invalid_scope",
            "invalid_client",
            "deleted_client",
            "disabled_client",
            "admin_policy_enforced",
            "org_internal",
        ),
        Refusal.APP_REFUSED,
    ),
}
"""The `error` of an answer: RFC 6749, 4.1.2.1, and Google's own. Any other is a failure of the platform."""


class ConsentRefused(SiveraError):
    """A consent led to no grant, and nothing was stored. `detail` is what the platform says, in one line."""

    def __init__(self, why: Refusal, platform: PlatformName | None = None, detail: str = "") -> None:
        self.why, self.platform = why, platform
        self.detail = UNPRINTABLE.sub("", " ".join(detail.split()))[:MAX_QUOTE]
        super().__init__(why, platform, self.detail)

    def __str__(self) -> str:
        return self.why.value + (f" ({self.detail})" if self.detail else "")


@contextmanager
def explain_refusals(ended: Refusal) -> Iterator[None]:
    """Raise a platform's errors as ConsentRefused; `ended` is for one that only another login mends."""
    meanings = {
        WrongRedirect: Refusal.WRONG_REDIRECT,
        Misconfigured: Refusal.APP_REFUSED,
        ScopeMissing: Refusal.SCOPE_MISSING,
        NoAdAccounts: Refusal.NO_ACCOUNTS,
        ReconnectRequired: ended,
        PlatformError: Refusal.PLATFORM_FAILED,
    }
    try:
        yield
    except PlatformError as error:
        why = next(why for kind, why in meanings.items() if isinstance(error, kind))
        raise ConsentRefused(why, error.platform, str(error)) from None
