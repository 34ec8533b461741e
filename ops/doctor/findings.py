"""What the checks of the doctor share: the installation that they examine, and their findings."""

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
"""Longer lists are cut, and the text says how many are left out."""

T = TypeVar("T")


class Verdict(StrEnum):
    """How bad it is. A check is skipped if something that it needs is down, which has a check of its own."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """The result of a check; `remedy` is empty if all is well."""

    verdict: Verdict
    text: str
    remedy: str = ""


class Skipped(SiveraError):
    """Something that a check needs is missing; the message names it."""


ok = partial(Finding, Verdict.OK)
warning = partial(Finding, Verdict.WARNING)
"""The jobs run, but a person should look."""
fault = partial(Finding, Verdict.FAULT)
"""A job does not run, or does the wrong thing."""


def explain(errors: Iterable[ConfigurationError]) -> Finding:
    """Join errors of the form 'what is wrong: the remedy' into one fault that names each remedy once."""
    wrong, remedies = [], []
    for error in errors:
        what, _, remedy = "; ".join(str(error).splitlines()).rpartition(": ")
        wrong.append(what or remedy)
        remedies += [remedy] if what else []
    return fault("; ".join(wrong), "; ".join(dict.fromkeys(remedies)))


def judge(conditions: Iterable[Condition], well: str) -> Finding:
    """Join conditions into one warning in the words of the alerts; `well` is said if there are none."""
    found = list(conditions)
    if not found:
        return ok(well)
    remedies = dict.fromkeys(one.remedy.rstrip(".") for one in found if one.remedy)
    return warning(few([f"{one.title}: {one.message.rstrip('.')}" for one in found], "; "), ". ".join(remedies))


def few(items: Sequence[object], between: str = ", ") -> str:
    """List the first items, and say how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return between.join(map(str, items[:SHOWN])) + more


@dataclass
class Installation:
    """What the checks examine. Those of the Prefect server and the database open what later checks use.

    `folder` is that of the local stack. `timetable_path` replaces the package's prefect.yaml.
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
        return _require(self.opened_client, "the Prefect server")

    @cached_property
    def deployed(self) -> Mapping[str, DeploymentResponse]:
        """Our deployments on the server, by 'flow/deployment'."""
        return read_deployments(self.client)

    @cached_property
    def alert_options(self) -> AlertOptions:
        """The options of check-alerts, or the defaults if the Prefect server is away."""
        return read_alert_options(self.opened_client) if self.opened_client else DEFAULTS

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Yield a session, if the database has the tables of this version."""
        with Session(_require(self.engine, "a database of this version")) as session:
            yield session


def _require(part: T | None, what: str) -> T:
    if part is None:
        raise Skipped(f"needs {what}")
    return part
