"""One check: read the facts, apply the rules, and open and close alerts, all in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from sivera.alerts import queries
from sivera.alerts.changes import CLOSED, OPENED, AlertEvent, write_changes
from sivera.alerts.conditions import Condition, Kind
from sivera.alerts.data_rules import ENDS_SOON, Open, data_conditions
from sivera.alerts.job_rules import OWN_JOB, job_conditions, silence
from sivera.alerts.options import AlertOptions, Channel
from sivera.alerts.sending import Sent
from sivera.clock import read_clock
from sivera.history.rules import Occurrence
from sivera.links import NO_LINKS, Links
from sivera.units import counted
from sivera.values import Value

OF_DATA = (Kind.REAUTHORIZATION_REQUIRED, Kind.ACCESS_ENDS, Kind.STALE_DATA)
OF_JOBS = (Kind.JOB_FAILED, Kind.JOB_SKIPPED, Kind.JOB_MISSED, Kind.ALERTS_SILENT)


class CheckSummary(Value):
    """The result of a check. `still_open` counts all open alerts, including those on budgets.

    `trouble` is the reason why the jobs were not checked. `sent` counts the messages of each channel.
    """

    events: tuple[AlertEvent, ...]
    still_open: int
    trouble: str = ""
    sent: Mapping[Channel, Sent] = {}

    @property
    def opened(self) -> tuple[str, ...]:
        """The titles of the alerts that this check opened."""
        return tuple(event.payload["title"] for event in self.events if event.name == OPENED)

    @property
    def closed(self) -> tuple[str, ...]:
        """The titles of the alerts that this check closed."""
        return tuple(event.payload["title"] for event in self.events if event.name == CLOSED)

    @property
    def refused(self) -> int:
        """How many messages the channels refused."""
        return sum(sent.refused for sent in self.sent.values())

    @property
    def success(self) -> bool:
        """Whether everything was checked and every message was sent."""
        return not self.trouble and not self.refused

    @property
    def sentence(self) -> str:
        """The summary in one sentence."""
        said = [f"{self.still_open} open, {len(self.opened)} of them new, {len(self.closed)} over"]
        said += [self.trouble] if self.trouble else []
        said += [
            f"{channel} refused {counted(sent.refused, 'message')}"
            for channel, sent in self.sent.items()
            if sent.refused
        ]
        return "; ".join(said)


def find_in_data(
    session: Session, options: AlertOptions, links: Links = NO_LINKS, already: Open = ()
) -> list[Condition]:
    """Return what is wrong with grants and accounts. `already` has the open alerts, if they matter."""
    grants = queries.bad_grants(session, ENDS_SOON)
    stale = queries.stale_accounts(session, timedelta(hours=options.stale_hours))
    return list(data_conditions(grants, stale, already, options.most_of_platform, links))


def check_alerts(
    engine: Engine, links: Links, options: AlertOptions, occurrences: Sequence[Occurrence] | None
) -> CheckSummary:
    """Open and close alerts on jobs, grants and accounts.

    The alerts on jobs stay as they are if the history of the jobs is unknown (`occurrences` is None).
    """
    with Session(engine) as session, session.begin():
        queries.lock_alerts(session)
        now = read_clock(session)
        open_now = queries.list_open(session, OF_DATA if occurrences is None else OF_DATA + OF_JOBS)
        already = {(alert.kind, alert.subject) for alert in open_now}
        own = [one for one in occurrences or () if one.job == OWN_JOB]
        others = [one for one in occurrences or () if one.job != OWN_JOB]
        found = [
            *find_in_data(session, options, links, already),
            *job_conditions(others, now, options, links),
            *silence(own, now, links),
        ]
        events = write_changes(session, open_now, found, now)
        return CheckSummary(events=tuple(events), still_open=len(queries.list_open(session)))
