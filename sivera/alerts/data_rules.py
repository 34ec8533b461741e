"""When a grant or an account is worth an alert, as pure functions: facts and what is open already in, decision out."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence

from sivera.alerts.conditions import BrokenGrant, Condition, Kind, Links, StaleAccount, plain, sentence
from sivera.values import PlatformName

MOST_NAMES = 5
"""So many accounts of a grant are named in a message; of the others it says how many they are."""

Open = Collection[tuple[str, str]]
"""Kind and subject of the alerts that are open."""


def grant_conditions(grants: Sequence[BrokenGrant], already: Open, most: int, links: Links) -> Iterator[Condition]:
    """Yield each grant that a human has to connect again, or one condition for the many of a platform."""
    link = links.artifact("refresh-tokens-failures")
    found: dict[PlatformName, list[Condition]] = defaultdict(list)
    for grant in grants:
        found[grant.platform].append(_grant(grant, link))

    def of_platform(platform: PlatformName, several: Sequence[Condition]) -> Condition:
        return _of_platform(
            platform,
            several,
            title=f"{len(several)} grants of {platform.value} must be connected again",
            message="Run `sivera credentials list`: it names them, their teams, and why. Where the platform took them "
            "all away at once, look at the application's console there first.",
        )

    yield from _gather(found, of_platform, already, most)


def stale_conditions(accounts: Sequence[StaleAccount], already: Open, most: int, links: Links) -> Iterator[Condition]:
    """Yield each account whose data is stale, or one condition for the many of a platform."""
    link = links.artifact("sync-campaigns-failures")
    found: dict[PlatformName, list[Condition]] = defaultdict(list)
    for account in accounts:
        found[account.platform].append(_account(account, link))

    def of_platform(platform: PlatformName, several: Sequence[Condition]) -> Condition:
        return _of_platform(
            platform,
            several,
            title=f"{len(several)} accounts of {platform.value} have old data",
            message="The platform is down, wants no calls or prepares no reports, or the job does not run. Run `sivera "
            "accounts list`: it names them, and why; and `sivera doctor`.",
        )

    yield from _gather(found, of_platform, already, most)


def _gather(
    found: dict[PlatformName, list[Condition]],
    of_platform: Callable[[PlatformName, Sequence[Condition]], Condition],
    already: Open,
    most: int,
) -> Iterator[Condition]:
    for platform, conditions in found.items():
        # What has an alert keeps it until it is over: nobody is told twice of the same. The platform's lasts until half
        # as many are left as open it: else it would hide whatever comes anew while a single one stays unwell.
        told = [one for one in conditions if (one.kind, one.subject) in already]
        new = [one for one in conditions if (one.kind, one.subject) not in already]
        yield from told
        if new:
            together = of_platform(platform, new)
            is_open = (together.kind, together.subject) in already
            yield from [together] if len(new) > (most // 2 if is_open else most) else new


def _of_platform(platform: PlatformName, several: Sequence[Condition], *, title: str, message: str) -> Condition:
    first = min(several, key=lambda one: one.since)
    return Condition(
        kind=first.kind,
        subject=platform.value,
        title=title,
        message=message,
        since=first.since,
        link=first.link,
    )


def _grant(grant: BrokenGrant, link: str) -> Condition:
    platform, team, name = grant.platform.value, plain(grant.team), plain(grant.name)
    return Condition(
        kind=Kind.REAUTHORIZATION_REQUIRED,
        subject=str(grant.id),
        title=f"{platform} grant {grant.id} ({name}) of team {team} must be connected again",
        message=f"{sentence(grant.reason or 'It no longer works')} It carries {_names(grant.accounts)}; until "
        "then nothing of it is synced. A user of the team must log in again: `sivera credentials list` says how.",
        since=grant.since,
        link=link,
    )


def _account(account: StaleAccount, link: str) -> Condition:
    platform, team, name = account.platform.value, plain(account.team), plain(account.name)
    what, why = "was not synced", "No run has got to it"
    if account.lacks_reports:
        what, why = "gets no reports of its metrics", "Its campaigns are synced, and what they spend is not known"
    return Condition(
        kind=Kind.STALE_DATA,
        subject=f"account-{account.id}",
        title=f"{platform} account {account.id} ({name}) of team {team} {what}",
        message=f"{sentence(account.error or why)} To try at once: sivera accounts sync {account.id}",
        since=account.since,
        link=link,
    )


def _names(accounts: Sequence[str]) -> str:
    if not accounts:
        return "no active account"
    more = len(accounts) - MOST_NAMES
    named = ", ".join(plain(name) for name in accounts[:MOST_NAMES])
    return f"the accounts {named}{f' and {more} more' if more > 0 else ''}"
