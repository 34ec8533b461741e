"""The result of check-budgets: for one platform or the teams' own budgets, for the whole run, and as a page."""

from collections.abc import Mapping, Sequence
from typing import Self

from sqlalchemy.orm import Session

from sivera import pages
from sivera.budgets import queries
from sivera.budgets.pacing import Span
from sivera.budgets.rules import Reading
from sivera.budgets.wording import describe, limit_text, period_text, projection_text, spent_text
from sivera.reasons import reason_for
from sivera.units import counted
from sivera.values import Value

TEAMS = "team-budgets"
"""The part of a run that checks the budgets set by teams. The other parts are platforms."""

PART_COLOURS = {**{name.value: colour for name, colour in pages.PLATFORM_COLOURS.items()}, TEAMS: pages.OKABE_ITO[4]}

MOST_ROWS = 100
"""How many budgets are shown, those with the highest share spent."""


class Checked(Value):
    """The result of checking one part.

    `budgets` counts those with any spending, `stale` the accounts with figures too old to judge by, and `opened` the
    alerts that opened or rose. `put_off` means that the deadline came first. `failures` has the reason why an account
    or budget was not judged, and `unreported` the reason why a budget can never be judged.
    """

    accounts: int = 0
    budgets: int = 0
    stale: int = 0
    opened: int = 0
    closed: int = 0
    put_off: bool = False
    worst: tuple[Reading, ...] = ()
    failures: Mapping[str, str] = {}
    unreported: Mapping[str, str] = {}

    def __add__(self, other: Self) -> "Checked":
        counts = {name: getattr(self, name) + getattr(other, name) for name in COUNTS}
        return Checked(
            **counts,
            put_off=self.put_off or other.put_off,
            worst=worst_first((*self.worst, *other.worst)),
            failures={**self.failures, **other.failures},
            unreported={**self.unreported, **other.unreported},
        )


COUNTS = ("accounts", "budgets", "stale", "opened", "closed")


def worst_first(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """Return the readings to show, those with the highest share spent first."""
    # A single day is shown only if it exceeds the platform's limit; otherwise its period says enough.
    shown = (one for one in readings if one.period.span is not Span.DAY or one.percent >= 100)
    return tuple(sorted(shown, key=lambda one: (-one.spent / one.limit, one.subject))[:MOST_ROWS])


class CheckSummary(Value):
    """The result of a run by its parts, and the reasons of the parts that failed."""

    parts: dict[str, Checked]
    failed: dict[str, str]

    @classmethod
    def of(cls, results: Mapping[str, object]) -> Self:
        """Summarize what the check of each part returned or raised."""
        parts = {part: result for part, result in results.items() if isinstance(result, Checked)}
        failed = {
            part: f"{part} was not checked: {reason_for(result).rstrip('.')}"
            for part, result in results.items()
            if part not in parts
        }
        return cls(parts=parts, failed=failed)

    @property
    def total(self) -> Checked:
        """All parts together."""
        return sum(self.parts.values(), Checked())

    @property
    def put_off(self) -> list[str]:
        """The parts that the deadline cut short."""
        return [part for part, found in self.parts.items() if found.put_off]

    @property
    def success(self) -> bool:
        """Whether every budget with fresh figures was judged. Spent budgets and old figures are not failures."""
        return not self.failed and not self.total.failures

    @property
    def sentence(self) -> str:
        """The summary in one sentence."""
        total = self.total
        said = [f"{counted(total.budgets, 'budget')} of {counted(total.accounts, 'account')} checked"]
        said += [f"{counted(total.opened, 'alert')} opened"] if total.opened else []
        said += [f"{counted(total.closed, 'alert')} closed"] if total.closed else []
        said += [f"{counted(total.stale, 'account')} with old spend data"] if total.stale else []
        said += [f"{len(total.failures)} not judged"] if total.failures else []
        said += [f"{len(total.unreported)} cannot be judged"] if total.unreported else []
        said += [f"put off to the next run: {', '.join(self.put_off)}"] if self.put_off else []
        return "; ".join([", ".join(said), *self.failed.values()])


def budgets_page(job: str, summary: CheckSummary, charts: list[str]) -> str:
    """Return the page of a run, as Markdown."""
    total = summary.total
    counts = [
        (f"{part} (put off)" if found.put_off else part, *(getattr(found, name) for name in COUNTS))
        for part, found in summary.parts.items()
    ]
    worst = [(describe(one), f"{spent_text(one)} of {limit_text(one)}", one.percent) for one in total.worst]
    failures = [*total.failures.items(), *summary.failed.items(), *total.unreported.items()]
    return pages.page(
        job,
        summary.sentence,
        pages.table(("part", "accounts", "budgets", "old data", "alerts opened", "closed"), counts),
        *pages.listing("Spent furthest", ("budget", "spent", "%"), worst, f"{job}-budgets"),
        *pages.listing("Not judged", ("budget or account", "reason"), failures, f"{job}-failures"),
        *charts,
    )


def budget_row(reading: Reading) -> dict[str, object]:
    """Return a budget as a row of the artifact that lists them."""
    return {
        "budget": describe(reading),
        "kind": reading.budget,
        "period": period_text(reading.period),
        "spent": spent_text(reading),
        "of": limit_text(reading),
        "%": reading.percent,
        "by its end": projection_text(reading),
    }


def budgets_charts(session: Session) -> list[str]:
    """Draw how many budgets have an open alert, by threshold."""
    counts = {(f"{level} %", part or TEAMS): count for level, part, count in queries.thresholds_reached(session)}
    bars = list(dict.fromkeys(bar for bar, _ in counts))
    title = "Budgets by the highest threshold that they have reached"
    return [pages.bars(title, counts, bar=bars, part=PART_COLOURS, count="budgets", horizontal=True)]
