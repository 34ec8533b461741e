"""What `sivera credentials show` and `discover` do for one grant. It imports prefect."""

import shlex
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from ops.commands.session import open_database
from ops.commands.tables import print_table, printable, to_minute
from sivera.accounts import queries as account_queries
from sivera.clock import utc_now
from sivera.errors import ConfigurationError
from sivera.grants import queries, rules
from sivera.grants import renewal_queries as renewals
from sivera.grants.connecting import discover
from sivera.models import PlatformCredential, TokenRefreshLog
from sivera.values import PlatformName
from tasks import resources

RENEWALS_SHOWN = 10


def show_credential(credential_id: int) -> None:
    """Print a grant.

    Raises:
        ConfigurationError: There is none of that id.
    """
    with open_database() as engine, Session(engine) as session:
        grant, team = _find(session, credential_id)
        attempts = renewals.last_attempts(session, credential_id, RENEWALS_SHOWN)
        accounts = account_queries.accounts_of(session, credential_id)
        session.expunge_all()
    is_in_doubt = any(attempt.outcome is None for attempt in attempts)
    for name, value in _facts(grant, team, utc_now(), is_in_doubt=is_in_doubt):
        print(f"{name + ':':<14}{printable(value)}")  # noqa: T201
    print()  # noqa: T201
    print_table(
        ("started (UTC)", "outcome", "code", "ms", "by run"),
        [_attempt(attempt) for attempt in attempts],
        notes=[],
        empty="It has not been renewed since it was connected.",
    )
    print()  # noqa: T201
    print_table(
        ("account", "name", "platform's id", "status"),
        [(str(account.id), account.name, account.external_id, account.status) for account in accounts],
        notes=[],
        empty="It carries no ad account.",
    )


def discover_accounts(credential_id: int) -> None:
    """Find the ad accounts of a grant, and print how many it carries.

    Raises:
        SiveraError: There is no such grant, or its platform does not list its accounts.
    """
    with open_database() as engine:
        with Session(engine) as session:
            platform = PlatformName(_find(session, credential_id)[0].platform)
            before = len(account_queries.accounts_of(session, credential_id))
        tokens = resources.tokens(platform, credential_id)
        carried = discover(engine, resources.client(platform), tokens, credential_id)
    print(f"Grant {credential_id} carries {len(carried)} ad accounts, {len(carried) - before} of them new.")  # noqa: T201


def _find(session: Session, credential_id: int) -> tuple[PlatformCredential, str]:
    found = queries.find_credential(session, credential_id)
    if found is None:
        raise ConfigurationError(f"there is no grant {credential_id}: `sivera credentials list` shows them all")
    return found


def _facts(grant: PlatformCredential, team: str, now: datetime, *, is_in_doubt: bool) -> list[tuple[str, str]]:
    facts = [
        ("grant", f"{grant.id} ({grant.name})"),
        ("team", team),
        ("platform", grant.platform),
        ("status", f"{grant.status.replace('_', ' ')} since {to_minute(grant.status_since)} UTC"),
    ]
    if grant.status_reason:
        facts.append(("reason", grant.status_reason))
    if grant.status != account_queries.ACTIVE:
        name = f"--team {shlex.quote(team)} --name {shlex.quote(grant.name)}"
        facts.append(("mend", f"sivera credentials add --platform {grant.platform} {name}"))
    facts.append(("token ends", f"{to_minute(grant.expires_at)} UTC" if grant.expires_at else "never"))
    facts.append(("renewed", f"{to_minute(grant.last_renewed_at)} UTC" if grant.last_renewed_at else "never"))
    facts.append(("next due", _next_due(grant, now, is_in_doubt=is_in_doubt)))
    if grant.strikes:
        facts.append(("strikes", f"{grant.strikes} of {rules.STRIKES}, the last on {grant.last_strike_on}"))
    return facts


def _next_due(grant: PlatformCredential, now: datetime, *, is_in_doubt: bool) -> str:
    """Say from when on refresh-tokens renews the grant; a sync does so too, just before it uses an old token."""
    if grant.status != account_queries.ACTIVE or grant.platform not in set(PlatformName):
        return "not by itself"
    window = rules.FACTS[PlatformName(grant.platform)].window
    proven_at = grant.last_renewed_at or grant.created_at
    due = grant.expires_at - window if grant.expires_at else proven_at + rules.PROOF_EVERY
    if is_in_doubt:  # as soon as nobody can be at it any more
        due = min(due, grant.lease_until or due)
    due = max(due, grant.next_attempt_at or due)
    if due <= now + timedelta(minutes=1):
        return "now: the next run of refresh-tokens renews it"
    return f"{to_minute(due)} UTC: the first run of refresh-tokens after it"


def _attempt(attempt: TokenRefreshLog) -> tuple[str, ...]:
    return (
        to_minute(attempt.started_at),
        (attempt.outcome or "under way, or cut off").replace("_", " "),
        attempt.error_code or "",
        "" if attempt.duration_ms is None else str(attempt.duration_ms),
        str(attempt.run_id) if attempt.run_id else "",
    )
