"""The work of refresh-tokens: which grants are due, how each renewal ended, and what a run's failures mean."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field
from sqlalchemy.orm import Session

from sivera.errors import LeftAlone, ReconnectRequired, Throttled, ThrottleScope, Unavailable
from sivera.grants import queries, rules
from sivera.grants import renewal_queries as renewals
from sivera.grants.renewal import RenewalDependencies
from sivera.grants.source import GrantTokenSource
from sivera.reasons import reason_for
from sivera.teams.queries import check_teams
from sivera.units import counted
from sivera.values import PlatformName, Value


class RefreshOptions(Value):
    """Which grants to renew, and how many at once."""

    platforms: tuple[PlatformName, ...] = Field(default=(), description="Only these platforms; empty means all.")
    teams: tuple[str, ...] = Field(default=(), description="Only teams of these names; empty means all.")
    window_hours: dict[PlatformName, Annotated[int, Field(ge=1, le=1440)]] = Field(
        default={},
        description="How many hours before its end a platform's grant is due; others keep their own window.",
    )
    batch_size: int = Field(default=100, ge=1, le=1000, description="The most grants that are mapped at once.")
    deadline_seconds: int = Field(
        default=255,
        ge=10,
        le=255,
        description="Seconds after which the run stops calling platforms; what is left comes first in the next run.",
    )

    def words(self) -> tuple[str, ...]:
        """The words in a run's name that tell these options apart from others."""
        return (*self.platforms, *self.teams)


class DueGrant(Value):
    """A grant to renew, if it still has this generation. People know it by `team` and `name`."""

    id: int
    platform: PlatformName
    team: str
    name: str
    generation: int


class GrantFailure(Value):
    """Why a grant was not renewed, in words that a person can act on."""

    id: int
    platform: str
    team: str
    reason: str


class Result(StrEnum):
    """How the renewal of a grant ended, if it did not fail."""

    RENEWED = "renewed"
    ELSEWHERE = "elsewhere"
    """Someone else renewed or connected it meanwhile."""
    PUT_OFF = "put_off"
    """Its platform takes no calls for this grant now."""
    AGAIN = "again"
    """Its platform takes no calls at all now. This run tries the grant again, or puts it off."""


def plan_refresh(session: Session, options: RefreshOptions) -> tuple[DueGrant, ...]:
    """Return the grants that a run renews, in order; ConfigurationError if a team is unknown."""
    check_teams(session, options.teams)
    own = {platform: facts.window for platform, facts in rules.FACTS.items()}
    windows = own | {platform: timedelta(hours=hours) for platform, hours in options.window_hours.items()}
    asked = {platform.value: windows[platform] for platform in options.platforms or PlatformName}
    rows = queries.due_grants(session, asked, options.teams)
    return tuple(DueGrant.model_validate(row._asdict()) for row in rows)


def renew_due(source: GrantTokenSource, grant: DueGrant) -> Result:
    """Renew a grant that is due. A SiveraError tells why that failed, and who has to act."""
    try:
        return Result.RENEWED if source.renew(grant.generation) else Result.ELSEWHERE
    except Throttled as error:
        return Result.AGAIN if error.scope is ThrottleScope.PLATFORM else Result.PUT_OFF


class RefreshCounts(Value):
    """How many grants of a run, of one platform or of all, ended in which way."""

    due: int = 0
    renewed: int = 0
    failed: int = 0
    reauthorization_required: int = 0
    elsewhere: int = 0
    put_off: int = 0


class RefreshSummary(Value):
    """What a run did, and which platforms were down."""

    total: RefreshCounts
    platforms: dict[str, RefreshCounts]
    failures: tuple[GrantFailure, ...]
    down: tuple[PlatformName, ...] = ()

    @property
    def success(self) -> bool:
        """Whether nothing failed, no platform is down, and no grant newly needs a human."""
        return not self.failures and not self.down

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        rest = [f"{n} {words}" for name, words in WORDS.items() if (n := getattr(self.total, name))]
        down = [f"{name.value} is down" for name in self.down]
        return ", ".join([f"{self.total.renewed} of {counted(self.total.due, 'grant')} renewed", *rest, *down])


WORDS = {
    "failed": "failed",
    "reauthorization_required": "to be connected again",
    "elsewhere": "renewed by others",
    "put_off": "put off to the next run",
}


class RefreshTally:
    """Adds up a run as its grants end, in any order. A grant that never ends counts as put off."""

    def __init__(self, due: Sequence[DueGrant]) -> None:
        self.due = due
        self.ended: dict[int, object] = {}

    def add(self, grant: DueGrant, result: object) -> float | None:
        """Add what a grant's renewal returned or raised. Return 0 if this run should try the grant again."""
        self.ended[grant.id] = result
        return 0.0 if result is Result.AGAIN else None

    def summary(self, down: Collection[PlatformName] = ()) -> RefreshSummary:
        """Return what the run did. `down` are the platforms that are down."""
        platforms = sorted({grant.platform for grant in self.due})
        return RefreshSummary(
            total=self._counts(self.due),
            platforms={of.value: self._counts([one for one in self.due if one.platform is of]) for of in platforms},
            failures=tuple(
                GrantFailure(id=grant.id, platform=grant.platform.value, team=grant.team, reason=reason_for(ended))
                for grant in self.due
                if not isinstance(ended := self._ended(grant), Result)
            ),
            down=tuple(down),
        )

    def _counts(self, due: Collection[DueGrant]) -> RefreshCounts:
        return RefreshCounts(due=len(due), **Counter(_count_of(self._ended(grant)) for grant in due))

    def _ended(self, grant: DueGrant) -> object:
        return self.ended.get(grant.id, Result.PUT_OFF)


def _count_of(ended: object) -> str:
    match ended:
        case ReconnectRequired():
            return "reauthorization_required"
        case Result.AGAIN:
            return "put_off"
        case Result():
            return ended.value
    return "failed"


def judge_failures(
    deps: RenewalDependencies, tally: RefreshTally, silent: Collection[PlatformName]
) -> tuple[PlatformName, ...]:
    """Tell outages from grants that are at fault, give these a strike each, and return the platforms that are down.

    `silent` are the platforms that left many calls in a row unanswered.
    """
    at_fault: list[int] = []
    down: list[PlatformName] = []
    events: list[renewals.Event | None] = []
    with Session(deps.engine) as session, session.begin():
        for platform in sorted({grant.platform for grant in tally.due}):
            mine = [grant for grant in tally.due if grant.platform is platform]
            failing = [grant for grant in mine if _may_work_later(tally.ended.get(grant.id))]
            served = {grant.team for grant in mine if tally.ended.get(grant.id) is Result.RENEWED}
            if rules.is_outage({grant.team for grant in failing}, served, is_silent=platform in silent):
                events.append(renewals.open_outage(session, platform.value))
                down.append(platform)
                continue
            at_fault += [grant.id for grant in failing]
            if served and platform not in silent:
                events.append(renewals.close_outage(session, platform.value))
        for row in renewals.add_strikes(session, at_fault):
            if row.strikes >= rules.STRIKES:
                reason = rules.STRUCK_OUT_REASON.format(strikes=row.strikes)
                events.append(renewals.mark(session, row.id, row.generation, rules.WAITING[0], reason))
    for event in filter(None, events):
        deps.notify(*event)
    return tuple(down)


def _may_work_later(ended: object) -> bool:
    # Failures of our own database do not count, nor do grants for which the platform was not called.
    called = isinstance(ended, Unavailable) and not (isinstance(ended, LeftAlone) and not ended.was_tried)
    return called or ended is Result.PUT_OFF
