"""Why a consent in the browser led to no grant, in words that say what to do."""

from enum import StrEnum

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


class Refusal(StrEnum):
    """Why a consent led to no grant."""

    DENIED = "denied"
    SCOPE_MISSING = "scope_missing"
    NO_ACCOUNTS = "no_accounts"
    APP_REFUSED = "app_refused"
    WRONG_REDIRECT = "wrong_redirect"
    CODE_REFUSED = "code_refused"
    PLATFORM_FAILED = "platform_failed"
    STATE_UNKNOWN = "state_unknown"
    STATE_EXPIRED = "state_expired"
    STATE_USED = "state_used"
    OTHER_BROWSER = "other_browser"
    OTHER_PLATFORM = "other_platform"
    LINK_USED = "link_used"
    LINK_UNKNOWN = "link_unknown"
    LINK_EXPIRED = "link_expired"


SENTENCES = {
    Refusal.DENIED: "The access was denied on the consent page. Begin again, and allow it.",
    Refusal.SCOPE_MISSING: "The consent does not let us read ads. Begin again, and leave every permission ticked.",
    Refusal.NO_ACCOUNTS: "This user reaches no ad account. Begin again, and log in as a user who can read one.",
    Refusal.APP_REFUSED: "The platform refuses our application. Check its keys, its approval and its scopes.",
    Refusal.WRONG_REDIRECT: "The redirect is not registered with our application. Add it there, to the letter.",
    Refusal.CODE_REFUSED: "The platform does not take its own code: it has expired or was used. Begin again.",
    Refusal.PLATFORM_FAILED: "The platform could not finish the consent. Begin again in a moment.",
    Refusal.STATE_UNKNOWN: "This answer belongs to no consent that was begun here. Begin again.",
    Refusal.STATE_EXPIRED: "The consent took longer than ten minutes. Begin again.",
    Refusal.STATE_USED: "This answer was used before. If nothing was connected, begin again.",
    Refusal.OTHER_BROWSER: "The consent was begun in another browser. Begin again in this one.",
    Refusal.OTHER_PLATFORM: "This answer is not the one of the platform that was asked. Begin again.",
    Refusal.LINK_USED: "This link was used before. Ask for a new one.",
    Refusal.LINK_UNKNOWN: "This link was not made here, or was changed. Copy it whole, or ask for a new one.",
    Refusal.LINK_EXPIRED: "This link is older than 24 hours. Ask for a new one.",
}
"""What each refusal means, and what to do."""

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
        return SENTENCES[self.why] + (f" ({self.detail})" if self.detail else "")


def refusal_of(error: PlatformError, ended: Refusal) -> ConsentRefused:
    """Return the refusal that a platform's error means; `ended` is for one that only another login mends."""
    match error:
        case WrongRedirect():
            why = Refusal.WRONG_REDIRECT
        case Misconfigured():
            why = Refusal.APP_REFUSED
        case ScopeMissing():
            why = Refusal.SCOPE_MISSING
        case NoAdAccounts():
            why = Refusal.NO_ACCOUNTS
        case ReconnectRequired():
            why = ended
        case _:
            why = Refusal.PLATFORM_FAILED
    return ConsentRefused(why, error.platform, str(error))
