"""Facts of each platform and decisions about renewals, as pure functions."""

from datetime import timedelta
from enum import StrEnum

from sivera.errors import (
    ConfigurationError,
    GrantRevoked,
    Misconfigured,
    PlatformError,
    ReconnectRequired,
    Throttled,
    ThrottleScope,
    Unavailable,
    Unreached,
)
from sivera.values import PlatformName, Value


class RenewalFacts(Value):
    """How the grants of a platform work."""

    consents: str
    """The page on which users see which applications have access, and can revoke it."""
    window: timedelta = timedelta(hours=24)
    """How long before its end refresh-tokens renews a grant."""
    by_refresh_token: bool = False
    """Whether there is a refresh token. Otherwise the access token itself is long-lived."""
    rotates: bool = False
    """Whether a renewal may spend the refresh token and return a new one."""


FACTS: dict[PlatformName, RenewalFacts] = {
    # Access tokens live for one hour. The refresh token stays the same (RFC 6749, section 6; google-auth keeps it).
    PlatformName.GOOGLE: RenewalFacts(consents="https://myaccount.google.com/connections", by_refresh_token=True),
    # Tokens live for 60 days. An expired one cannot be exchanged ("get-long-lived"); ten days leave forty attempts.
    PlatformName.META: RenewalFacts(
        consents="https://www.facebook.com/settings?tab=business_tools", window=timedelta(days=10)
    ),
    # Access tokens live for one hour. The answer carries a refresh token, the same or another one.
    PlatformName.AMAZON: RenewalFacts(consents="https://www.amazon.com/ap/adam", by_refresh_token=True, rotates=True),
    # Advertisers' tokens do not expire and are only checked. Those of the tt_user flow live for a day and rotate.
    PlatformName.TIKTOK: RenewalFacts(consents="https://business.tiktok.com", rotates=True),
}

LEASE = timedelta(seconds=90)
"""Longer than a renewal's slowest call and its write. Afterwards a successor takes over from a holder that died."""
LONGEST_LEASE = 2 * LEASE
"""A lease that ends later is invalid, because the database's clock was set back. It is more than one lease, since a
lease taken while our transaction was waiting ends later than one counted from the transaction's start."""
LONGEST_REST = timedelta(hours=24)
"""The longest wait that a platform may ask for. A stored time further ahead is invalid."""

EXPIRY_MARGIN = timedelta(minutes=5)
"""An access token that expires sooner is renewed before it is used."""

CALL_MARGIN = timedelta(minutes=1)
"""Longer than any call to a platform. While its renewal fails, a token is used for as long as it lasts this long."""

PROOF_EVERY = timedelta(hours=24)
"""How often to check that a grant that does not expire still works."""

IMMEDIATE_RETRIES = 2
FIRST_BACKOFF = timedelta(minutes=1)
LONGEST_BACKOFF = timedelta(hours=1)

STRIKES = 4
"""After a grant has failed on this many days while its platform worked, a human is asked."""

OUTAGE_TEAMS = 3
"""If this many teams fail at once, and more than half of those tried, the platform is at fault and not the grants."""


class Outcome(StrEnum):
    """The outcome of an attempt to renew a grant, as stored in `token_refresh_logs`."""

    RENEWED = "renewed"
    FAILED = "failed"
    """No answer, or the platform is in trouble. The stored token is not spent."""
    IN_DOUBT = "in_doubt"
    """Failed, but the call may have reached the platform, which may have spent the token."""
    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"
    """The platform refuses our application."""
    DEFECT = "defect"
    """The platform rejects our request as invalid, or our code failed."""
    REAUTHORIZATION_REQUIRED = "reauthorization_required"
    REVOKED = "revoked"
    """The user has revoked the grant."""
    ROTATION_LOST = "rotation_lost"
    """Rejected after an earlier attempt with the same token was cut off: the token that replaced it is lost."""
    SUPERSEDED = "superseded"
    """Someone else renewed or connected the grant meanwhile, so the answer was not used."""


TRY_AGAIN = frozenset({Outcome.FAILED, Outcome.IN_DOUBT, Outcome.THROTTLED})
ASK_A_HUMAN = frozenset({Outcome.REAUTHORIZATION_REQUIRED, Outcome.REVOKED, Outcome.ROTATION_LOST})

WAITING = ("reauthorization_required", "revoked")
"""The states of a grant that waits for a human. Tokens that arrive late end this wait."""

DISCONNECTED = "disconnected"
"""The state of a grant that has no tokens and waits for nobody."""

ROTATION_LOST_REASON = (
    "a renewal was cut off before its answer was stored, and the platform no longer accepts the token that it used"
)
STRUCK_OUT_REASON = "could not be renewed on {strikes} days although its platform renewed others"


def outcome_of(error: Exception, *, rotates: bool, in_doubt: bool) -> Outcome:  # noqa: PLR0911 - a table by type
    """Return what an error means. `in_doubt` if an earlier attempt with the same token was cut off."""
    match error:
        case ReconnectRequired() if rotates and in_doubt:
            return Outcome.ROTATION_LOST
        case GrantRevoked():
            return Outcome.REVOKED
        case ReconnectRequired():
            return Outcome.REAUTHORIZATION_REQUIRED
        case Throttled():
            return Outcome.THROTTLED
        case Unavailable() if rotates and not isinstance(error, Unreached):
            return Outcome.IN_DOUBT
        case Unavailable():
            return Outcome.FAILED
        case Misconfigured() | ConfigurationError():
            return Outcome.MISCONFIGURED
    return Outcome.DEFECT if isinstance(error, PlatformError) or not rotates else Outcome.IN_DOUBT


def status_after(outcome: Outcome, error: Exception) -> tuple[str, str]:
    """Return the status of a grant that a human must connect again, and the reason for its team."""
    said = error.message if isinstance(error, PlatformError) else type(error).__name__
    reason = ROTATION_LOST_REASON if outcome is Outcome.ROTATION_LOST else said
    return WAITING[outcome is Outcome.REVOKED], reason


def pause_after(error: Exception, failures: int) -> timedelta | None:
    """Return how long a grant rests after this many failures in a row; None if the platform throttles everyone."""
    if not isinstance(error, Throttled):
        return backoff(failures)
    if error.scope is ThrottleScope.PLATFORM:
        return None
    return max(backoff(failures), timedelta(seconds=error.retry_after))


def backoff(failures: int) -> timedelta:
    """Return how long a grant rests after this many failures in a row: at first not at all, later up to an hour."""
    if failures <= IMMEDIATE_RETRIES:
        return timedelta()
    longer: timedelta = FIRST_BACKOFF * 4 ** min(failures - IMMEDIATE_RETRIES - 1, 5)
    return min(longer, LONGEST_BACKOFF)


def is_outage(failed_teams: set[str], renewed_teams: set[str], *, is_silent: bool) -> bool:
    """Return whether the platform is to blame. `is_silent` if many calls in a row had no answer."""
    if is_silent and not renewed_teams:
        return True
    return len(failed_teams) >= OUTAGE_TEAMS and 2 * len(failed_teams) > len(failed_teams | renewed_teams)
