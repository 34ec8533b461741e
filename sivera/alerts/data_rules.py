"""Which grants and accounts need an alert: pure functions of the facts and the open alerts."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta

from sivera.alerts.conditions import REMEDIES, BadGrant, Condition, Kind, StaleAccount, sentence, short
from sivera.links import Links
from sivera.reasons import names_remedy

MOST_NAMES = 5
"""How many accounts of a grant a message names. It only counts the others."""

Open = Collection[tuple[str, str]]
"""Kind and subject of the open alerts."""

ENDS_SOON = timedelta(days=10)
"""A grant that loses access to data within this time needs an alert."""

MANY: Mapping[Kind, tuple[str, str]] = {
    Kind.ACCESS_ENDS: (
        "{count} grants of {platform} will soon get no more data",
        "Their tokens, or the platform's permission to read data, end.",
    ),
    Kind.REAUTHORIZATION_REQUIRED: (
        "{count} grants of {platform} must be connected again",
        "If the platform revoked them all at once, its console may say why.",
    ),
    Kind.STALE_DATA: (
        "{count} accounts of {platform} have old data",
        "The platform is down, throttles us or prepares no reports, or the job does not run.",
    ),
}
"""Title and message of the condition that replaces many of one platform."""

LACKS = {
    "sync": ("was not synced", "No run has got to it"),
    "reports": ("gets no reports of its metrics", "Its campaigns are synced, but their spending is not known"),
    "full": ("had no good full sync for two days", "Its hourly syncs work, but its full ones fail"),
}
"""What to say of an account, by what it lacks, and the reason if its last sync gave none."""


def data_conditions(
    grants: Iterable[BadGrant], accounts: Iterable[StaleAccount], already: Open, most: int, links: Links
) -> Iterator[Condition]:
    """Yield each grant that does not work or will soon get no data, and each account with old data.

    More than `most` of the same kind and platform become one condition.
    """
    found: dict[tuple[Kind, str], list[Condition]] = defaultdict(list)
    for grant in grants:
        one = _of_grant(grant, links)
        found[one.kind, grant.platform].append(one)
    for account in accounts:
        found[Kind.STALE_DATA, account.platform].append(_of_account(account, links))
    for (kind, platform), conditions in found.items():
        # A subject with its own alert keeps it until it is over, so nobody is notified of it twice.
        yield from (one for one in conditions if (kind, one.subject) in already)
        new = [one for one in conditions if (kind, one.subject) not in already]
        # A platform's alert closes when the number falls to half of what opens it. If it stayed until the last one
        # is fixed, it would hide everything that breaks in the meantime.
        is_open = (kind, platform) in already
        yield from [_together(platform, new)] if len(new) > (most // 2 if is_open else most) else new


def _of_grant(grant: BadGrant, links: Links) -> Condition:
    if grant.ends:
        kind, what, since = Kind.ACCESS_ENDS, f"gets no data from {grant.ends:%Y-%m-%d} on", grant.ends - ENDS_SOON
        message = "Its token, or the platform's permission to read data, ends then."
    else:
        kind, what, since = Kind.REAUTHORIZATION_REQUIRED, "must be connected again", grant.since
        reason = sentence(grant.reason or "It no longer works")
        message = f"{reason} It has {_names(grant.accounts)}; nothing of it is synced until then."
    return Condition(
        kind=kind,
        subject=str(grant.id),
        title=f"{grant.platform} grant {grant.id} ({short(grant.name)}) of team {short(grant.team)} {what}",
        message=message,
        remedy=REMEDIES[kind],
        since=since,
        link=links.page("artifacts/key/refresh-tokens-failures"),
    )


def _of_account(account: StaleAccount, links: Links) -> Condition:
    what, why = LACKS[account.lacks]
    no_run_came = account.lacks == "sync" and not account.error
    remedy = REMEDIES[Kind.JOB_MISSED if no_run_came else Kind.STALE_DATA]
    said = sentence(account.error or why)
    return Condition(
        kind=Kind.STALE_DATA,
        subject=f"account-{account.id}",
        title=f"{account.platform} account {account.id} ({short(account.name)}) of team {short(account.team)} {what}",
        message=said,
        remedy="" if names_remedy(said) else remedy,
        since=account.since,
        link=links.page("artifacts/key/sync-campaigns-failures"),
    )


def _together(platform: str, several: Sequence[Condition]) -> Condition:
    first = min(several, key=lambda one: one.since)
    title, message = MANY[first.kind]
    title = title.format(count=len(several), platform=platform)
    said = {"title": title, "message": message, "remedy": REMEDIES[first.kind]}
    return first.model_copy(update={"subject": platform, **said})


def _names(accounts: Sequence[str]) -> str:
    if not accounts:
        return "no active account"
    more = len(accounts) - MOST_NAMES
    return f"the accounts {', '.join(map(short, accounts[:MOST_NAMES]))}{f' and {more} more' if more > 0 else ''}"
