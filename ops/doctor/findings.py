"""What the doctor examines, and what a check finds there."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from blocks.deployments import read_alert_options
from ops.deploy import read_deployments
from ops.stack.folder import FOLDER
from sivera.alerts.conditions import Condition
from sivera.alerts.options import DEFAULTS, AlertOptions
from sivera.clock import utc_now
from sivera.errors import ConfigurationError, SiveraError

SHOWN = 10
"""Of a longer list, the text says only how many more there are."""

T = TypeVar("T")


class Verdict(StrEnum):
    """How bad it is. A check is skipped if what it needs is down; the check of that says so."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """What a check found: a sentence, and the remedy if something is wrong."""

    verdict: Verdict
    text: str
    remedy: str = ""


class Skipped(SiveraError):
    """A check needs something that is not there; the message names it."""


ok = partial(Finding, Verdict.OK)
warning = partial(Finding, Verdict.WARNING)
"""Somebody should have a look; the jobs run."""
fault = partial(Finding, Verdict.FAULT)
"""A job does not run, or not as it should."""


def explain(errors: Iterable[ConfigurationError]) -> Finding:
    """Return errors, each worded as 'what is wrong: the remedy', as one fault that names each remedy once."""
    wrong, remedies = [], []
    for error in errors:
        what, _, remedy = "; ".join(str(error).splitlines()).rpartition(": ")
        wrong.append(what or remedy)
        remedies += [remedy] if what else []
    return fault("; ".join(wrong), "; ".join(dict.fromkeys(remedies)))


def judge(conditions: Iterable[Condition], well: str) -> Finding:
    """Return what is worth an alert as one warning, in the words of the alerts; `well` if nothing is."""
    found = list(conditions)
    if not found:
        return ok(well)
    remedies = dict.fromkeys(one.remedy.rstrip(".") for one in found if one.remedy)
    return warning(few([f"{one.title}: {one.message.rstrip('.')}" for one in found], "; "), ". ".join(remedies))


def few(items: Sequence[object], between: str = ", ") -> str:
    """Return the first of them as a text, and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return between.join(map(str, items[:SHOWN])) + more


@dataclass
class Installation:
    """What the checks look at. Those of the Prefect server and of the database open what later checks use.

    `folder` is where the local stack keeps its data. `timetable_path` is for another file than the package's.
    """

    now: Callable[[], datetime] = utc_now
    folder: Path = FOLDER
    timetable_path: Path | None = None
    resources: ExitStack = field(default_factory=ExitStack)
    opened_client: SyncPrefectClient | None = None
    engine: Engine | None = None

    @property
    def client(self) -> SyncPrefectClient:
        """The client of the Prefect server."""
        return _given(self.opened_client, "the Prefect server")

    @cached_property
    def deployed(self) -> Mapping[str, DeploymentResponse]:
        """Our deployments on the server, by 'flow/deployment'."""
        return read_deployments(self.client)

    @cached_property
    def alert_options(self) -> AlertOptions:
        """The options of check-alerts; the defaults while the Prefect server is away."""
        return read_alert_options(self.opened_client) if self.opened_client else DEFAULTS

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session on the database, if that has the tables of this version."""
        with Session(_given(self.engine, "a database of this version")) as session:
            yield session


def _given(part: T | None, what: str) -> T:
    if part is None:
        raise Skipped(f"needs {what}")
    return part
