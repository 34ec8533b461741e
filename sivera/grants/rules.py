"""The facts and decisions of renewing grants: pure functions, facts in, decision out."""

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
    """How grants of a platform live."""

    consents: str
    """The page on which a user sees what applications may do, and can end it."""
    window: timedelta = timedelta(hours=24)
    """How long before its end refresh-tokens renews a grant."""
    by_refresh_token: bool = False
    """Otherwise the access token itself is long-lived."""
    rotates: bool = False
    """A renewal may spend the refresh token that it uses, and give a new one."""


FACTS: dict[PlatformName, RenewalFacts] = {
    # Access tokens live for one hour. The refresh token stays the same (RFC 6749, section 6; google-auth keeps it).
    PlatformName.GOOGLE: RenewalFacts(consents="https://myaccount.google.com/connections", by_refresh_token=True),
    # Sixty days, and an expired token cannot be exchanged any more ("get-long-lived"): ten days leave forty chances.
    PlatformName.META: RenewalFacts(
        consents="https://www.facebook.com/settings?tab=business_tools", window=timedelta(days=10)
    ),
    # Access tokens live for one hour. The answer carries a refresh token, the same or another one.
    PlatformName.AMAZON: RenewalFacts(consents="https://www.amazon.com/ap/adam", by_refresh_token=True, rotates=True),
    # Tokens of advertisers do not end and are only proven; those of the tt_user flow live for a day, and rotate.
    PlatformName.TIKTOK: RenewalFacts(consents="https://business.tiktok.com", rotates=True),
}

LEASE = timedelta(seconds=90)
"""Longer than a renewal's slowest call and its write. After it, a successor takes over from a holder that died."""
LONGEST_LEASE = 2 * LEASE
"""A lease that ends further ahead is none of ours: the database's clock was set back. One that was taken while our
transaction was waiting may end later than a lease from the beginning of it, and holds."""
LONGEST_REST = timedelta(hours=24)
"""No platform is believed that names a longer wait. A time further ahead is no time of ours."""

EXPIRY_MARGIN = timedelta(minutes=5)
"""An access token with less life left is renewed before it is used."""

CALL_MARGIN = timedelta(minutes=1)
"""Longer than any call to a platform: a token with this much life left still serves while its renewal fails."""

PROOF_EVERY = timedelta(hours=24)
"""How often to prove that a grant without an end still works."""

IMMEDIATE_RETRIES = 2
FIRST_BACKOFF = timedelta(minutes=1)
LONGEST_BACKOFF = timedelta(hours=1)

STRIKES = 4
"""A human is asked after a grant has failed on this many days while its platform worked."""

OUTAGE_TEAMS = 3
"""When this many teams fail at once, and most of those that were tried, the platform is at fault and not the grants."""


class Outcome(StrEnum):
    """The outcome of an attempt to renew a grant, as `token_refresh_logs` keeps it."""

    RENEWED = "renewed"
    FAILED = "failed"
    """No answer, or the platform is in trouble; the stored token is not spent."""
    IN_DOUBT = "in_doubt"
    """As `failed`, but the call may have reached the platform, which may have spent the token."""
    THROTTLED = "throttled"
    MISCONFIGURED = "misconfigured"
    """The platform refuses our application."""
    DEFECT = "defect"
    """The platform says that our request is wrong, or we failed before we understood its answer."""
    REAUTHORIZATION_REQUIRED = "reauthorization_required"
    REVOKED = "revoked"
    """The user has withdrawn the grant."""
    ROTATION_LOST = "rotation_lost"
    """Refused after an earlier attempt with the same token was cut off: the token that replaced it is lost."""
    SUPERSEDED = "superseded"
    """Somebody else renewed or connected the grant meanwhile; the answer was not used."""


TRY_AGAIN = frozenset({Outcome.FAILED, Outcome.IN_DOUBT, Outcome.THROTTLED})
ASK_A_HUMAN = frozenset({Outcome.REAUTHORIZATION_REQUIRED, Outcome.REVOKED, Outcome.ROTATION_LOST})

WAITING = ("reauthorization_required", "revoked")
"""The states of a grant that waits for a human. Tokens that arrive late end them."""

DISCONNECTED = "disconnected"
"""The state of a grant that we let go: it has no tokens, and waits for nobody."""

ROTATION_LOST_REASON = (
    "a renewal was cut off before its answer was stored, and the platform no longer takes the token that it used"
)
STRUCK_OUT_REASON = "could not be renewed on {strikes} days although its platform renewed others"


def outcome_of(error: Exception, *, rotates: bool, in_doubt: bool) -> Outcome:  # noqa: PLR0911 - a table by type
    """Return what an error means; `in_doubt` if an earlier attempt with the same token was cut off."""
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
    """Return how long a grant rests after so many failures in a row; None if the platform throttles everyone."""
    if not isinstance(error, Throttled):
        return backoff(failures)
    if error.scope is ThrottleScope.PLATFORM:
        return None
    return max(backoff(failures), timedelta(seconds=error.retry_after))


def backoff(failures: int) -> timedelta:
    """Return how long a grant rests after so many failures in a row: not at all at first, later up to an hour."""
    if failures <= IMMEDIATE_RETRIES:
        return timedelta()
    longer: timedelta = FIRST_BACKOFF * 4 ** min(failures - IMMEDIATE_RETRIES - 1, 5)
    return min(longer, LONGEST_BACKOFF)


def is_outage(failed_teams: set[str], renewed_teams: set[str], *, is_silent: bool) -> bool:
    """Whether a platform is at fault for failures that may pass; `is_silent` if many calls in a row had no answer."""
    if is_silent and not renewed_teams:
        return True
    return len(failed_teams) >= OUTAGE_TEAMS and 2 * len(failed_teams) > len(failed_teams | renewed_teams)
