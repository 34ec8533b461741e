"""When a grant or an account is worth an alert: pure functions of the facts and of what is open already."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from sivera.alerts.conditions import REMEDIES, BrokenGrant, Condition, EndingGrant, Kind, StaleAccount, sentence, short
from sivera.links import Links
from sivera.reasons import names_remedy

MOST_NAMES = 5
"""Accounts of a grant that a message names; it only counts the others."""

Open = Collection[tuple[str, str]]
"""Kind and subject of the open alerts."""

ENDS_SOON = timedelta(days=10)
"""A grant with data access that ends within this time is worth an alert."""

TITLES = {
    Kind.ACCESS_ENDS: "{count} grants of {platform} soon get no data any more",
    Kind.REAUTHORIZATION_REQUIRED: "{count} grants of {platform} must be connected again",
    Kind.STALE_DATA: "{count} accounts of {platform} have old data",
}
MESSAGES = {
    Kind.ACCESS_ENDS: "The platform's permission to read data ends.",
    Kind.REAUTHORIZATION_REQUIRED: "If the platform revoked them all at once, its console may say why.",
    Kind.STALE_DATA: "The platform is down, throttles us or prepares no reports, or the job does not run.",
}
"""What the one alert says, before the remedy, that stands for many of a platform."""


def grant_conditions(grants: Sequence[BrokenGrant], already: Open, most: int, links: Links) -> Iterator[Condition]:
    """Yield each grant that a human has to connect again, or one condition for the many of a platform."""
    found = [
        _of_grant(
            Kind.REAUTHORIZATION_REQUIRED,
            grant,
            "must be connected again",
            f"{sentence(grant.reason or 'It no longer works')} It has {_names(grant.accounts)}; nothing of it is "
            "synced until then.",
            grant.since,
            links,
        )
        for grant in grants
    ]
    yield from _gather(found, already, most)


def ending_conditions(grants: Sequence[EndingGrant], already: Open, most: int, links: Links) -> Iterator[Condition]:
    """Yield each grant that soon gets no data any more, or one condition for the many of a platform."""
    found = [
        _of_grant(
            Kind.ACCESS_ENDS,
            grant,
            f"gets no data from {grant.ends:%Y-%m-%d} on",
            "Its token still works, but the platform's permission to read data ends then.",
            grant.ends - ENDS_SOON,
            links,
        )
        for grant in grants
    ]
    yield from _gather(found, already, most)


def _of_grant(
    kind: Kind, grant: BrokenGrant | EndingGrant, what: str, message: str, since: datetime, links: Links
) -> tuple[str, Condition]:
    """Return a grant's platform, and the condition that says what is wrong with the grant."""
    condition = Condition(
        kind=kind,
        subject=str(grant.id),
        title=f"{grant.platform} grant {grant.id} ({short(grant.name)}) of team {short(grant.team)} {what}",
        message=f"{message} {REMEDIES[kind]}",
        since=since,
        link=links.page("artifacts/key/refresh-tokens-failures"),
    )
    return grant.platform, condition


def stale_conditions(accounts: Sequence[StaleAccount], already: Open, most: int, links: Links) -> Iterator[Condition]:
    """Yield each account with old data, or one condition for the many of a platform."""
    link = links.page("artifacts/key/sync-campaigns-failures")
    found = []
    for one in accounts:
        what, why, remedy = "was not synced", "No run has got to it", REMEDIES[Kind.STALE_DATA]
        if one.lacks_full:
            what, why = "had no good full sync for two days", "Its hourly syncs work, and its full ones fail"
        elif one.lacks_reports:
            what, why = "gets no reports of its metrics", "Its campaigns are synced, but their spending is not known"
        elif not one.error:
            remedy = REMEDIES[Kind.JOB_MISSED]
        said = sentence(one.error or why)
        condition = Condition(
            kind=Kind.STALE_DATA,
            subject=f"account-{one.id}",
            title=f"{one.platform} account {one.id} ({short(one.name)}) of team {short(one.team)} {what}",
            message=said if names_remedy(said) else f"{said} {remedy}",
            since=one.since,
            link=link,
        )
        found.append((one.platform, condition))
    yield from _gather(found, already, most)


def _gather(found: Iterable[tuple[str, Condition]], already: Open, most: int) -> Iterator[Condition]:
    of_platform: dict[str, list[Condition]] = defaultdict(list)
    for platform, condition in found:
        of_platform[platform].append(condition)
    for platform, conditions in of_platform.items():
        # What has an alert of its own keeps it until it is over: nobody is notified of the same thing twice.
        yield from (one for one in conditions if (one.kind, one.subject) in already)
        new = [one for one in conditions if (one.kind, one.subject) not in already]
        # The platform's alert lasts until half as many are left as open it. If it lasted longer, it would hide
        # whatever breaks next while a single one stays broken.
        is_open = (conditions[0].kind, platform) in already
        yield from [_together(platform, new)] if len(new) > (most // 2 if is_open else most) else new


def _together(platform: str, several: Sequence[Condition]) -> Condition:
    first = min(several, key=lambda one: one.since)
    title = TITLES[first.kind].format(count=len(several), platform=platform)
    return first.model_copy(
        update={"subject": platform, "title": title, "message": f"{MESSAGES[first.kind]} {REMEDIES[first.kind]}"}
    )


def _names(accounts: Sequence[str]) -> str:
    if not accounts:
        return "no active account"
    more = len(accounts) - MOST_NAMES
    return f"the accounts {', '.join(map(short, accounts[:MOST_NAMES]))}{f' and {more} more' if more > 0 else ''}"
