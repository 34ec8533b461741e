"""What a doctor examines. A part that is not there skips the checks that need it, and no others."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.flows import Flow
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ops.deploy import Deployed, read_deployments
from ops.doctor.findings import given
from ops.stack.folder import FOLDER
from ops.timetable import Deployment
from sivera.clock import utc_now

REQUEST_SECONDS = 5.0
"""For each request to the Prefect server; a check makes a few."""

RETRIES = 1
"""A server that was busy once (HTTP 503, or silent for a moment) is no fault."""

STATEMENT_SECONDS = 5


def read_server_time(client: SyncPrefectClient) -> datetime:
    """Return the Prefect server's time, by which it says when a run ended; ours may be another."""
    told = client.hello().headers.get("date")
    return parsedate_to_datetime(told) if told else utc_now()


@dataclass
class Installation:
    """Its parts are filled in by the checks that open them: the timetable, the Prefect server and the database.

    Args:
        now: This machine's clock.
        server_now: The Prefect server's clock.
        folder: Where the local stack keeps its data.
        timetable_path: Another file than the package's prefect.yaml.
        fix: Whether to release slots that no living run holds.
    """

    now: Callable[[], datetime] = utc_now
    server_now: Callable[[SyncPrefectClient], datetime] = read_server_time
    folder: Path = FOLDER
    timetable_path: Path | None = None
    fix: bool = False
    resources: ExitStack = field(default_factory=ExitStack, repr=False)
    opened_client: SyncPrefectClient | None = None
    opened_engine: Engine | None = None
    is_migrated: bool = False
    timetable: Mapping[str, tuple[Deployment, Flow[..., Any]]] | None = field(default=None, repr=False)

    @property
    def client(self) -> SyncPrefectClient:
        """The client of the Prefect server."""
        return given(self.opened_client, "the Prefect server")

    def require_server(self) -> None:
        """Skip a check that finds its own way to the Prefect server where that is away."""
        _ = self.client

    @property
    def listed(self) -> Mapping[str, Deployment]:
        """The deployments of the timetable by 'flow/deployment'."""
        return {name: deployment for name, (deployment, _) in self._timetable.items()}

    @property
    def flows(self) -> Mapping[str, Flow[..., Any]]:
        """The flows of the timetable by their names."""
        return {flow.name: flow for _, flow in self._timetable.values()}

    @cached_property
    def deployed(self) -> Deployed:
        """What is on the server of the timetable, by 'flow/deployment'."""
        return read_deployments(self.client, self.listed)

    def time_limits(self) -> Mapping[UUID, timedelta]:
        """The time limits of the deployments that have one, by their ids."""
        timeouts = {name: flow.timeout_seconds for name, (_, flow) in self._timetable.items()}
        return {
            deployment.id: timedelta(seconds=seconds)
            for name, deployment in self.deployed.items()
            if (seconds := timeouts[name])
        }

    @property
    def engine(self) -> Engine:
        """The engine on the database."""
        return given(self.opened_engine, "the database")

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session on the database, which has the tables of this version."""
        engine = self.engine
        given(self.is_migrated or None, "a database of this version")
        with Session(engine) as session:
            yield session

    @property
    def _timetable(self) -> Mapping[str, tuple[Deployment, Flow[..., Any]]]:
        return given(self.timetable, "prefect.yaml")

    @contextmanager
    def examined(self) -> Iterator[None]:
        """Bound every request in time while the body runs, and close then what the checks have opened."""
        bounds = {PREFECT_API_REQUEST_TIMEOUT: REQUEST_SECONDS, PREFECT_CLIENT_MAX_RETRIES: RETRIES}
        with temporary_settings(bounds), self.resources:
            yield
