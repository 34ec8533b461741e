"""Why a consent in the browser connected nothing, in words that say what to do."""

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
    """Why a consent connected nothing, and what to do."""

    DENIED = "Access was denied on the consent page. Start again and allow it."
    SCOPE_MISSING = "The consent does not let us read ads. Start again and leave every permission ticked."
    NO_ACCOUNTS = "This user has no access to an ad account. Start again and log in as a user who has it."
    APP_REFUSED = "The platform refuses our application. Check its keys, its approval and its scopes."
    WRONG_REDIRECT = "The redirect is not registered with our application. Register exactly this address there."
    CODE_REFUSED = "The platform rejects its own code, which has expired or was used before. Start again."
    PLATFORM_FAILED = "The platform could not finish the consent. Start again in a moment."
    STATE_UNKNOWN = "This answer does not belong to a consent that was started here. Start again."
    STATE_EXPIRED = "The consent took longer than ten minutes. Start again."
    STATE_USED = "This answer was used before. If nothing was connected, start again."
    OTHER_BROWSER = "The consent was started in another browser. Start again in this one."
    OTHER_PLATFORM = "This answer does not come from the platform that was asked. Start again."
    LINK_USED = "This link was used before. Ask for a new one."
    LINK_UNKNOWN = "This link was not made here, or was changed. Copy all of it, or ask for a new one."
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
"""Meanings of `error` in an answer (RFC 6749, 4.1.2.1, and Google's own). Any other is a failure of the platform."""


class ConsentRefused(SiveraError):
    """A consent connected nothing, and nothing was stored. `detail` is the platform's own text, on one line."""

    def __init__(self, why: Refusal, platform: PlatformName | None = None, detail: str = "") -> None:
        self.why, self.platform = why, platform
        self.detail = UNPRINTABLE.sub("", " ".join(detail.split()))[:MAX_QUOTE]
        super().__init__(why, platform, self.detail)

    def __str__(self) -> str:
        return self.why.value + (f" ({self.detail})" if self.detail else "")


@contextmanager
def explain_refusals(ended: Refusal) -> Iterator[None]:
    """Raise a platform's errors as ConsentRefused. `ended` stands for an error that only a new login can fix."""
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
