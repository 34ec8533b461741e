"""What the doctor examines. If a part is down, the checks that need it are skipped, and no others."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.responses import DeploymentResponse
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from blocks.deployments import our_deployments
from ops.doctor.findings import given
from ops.stack.folder import FOLDER
from sivera.clock import utc_now

REQUEST_SECONDS = 5.0
"""For each request to the Prefect server; a check makes a few."""

RETRIES = 1
"""A server that was busy once is no fault."""

STATEMENT_SECONDS = 5


@dataclass
class Installation:
    """The checks of the Prefect server and of the database open what later checks use.

    Args:
        now: This machine's clock.
        folder: Where the local stack keeps its data.
        timetable_path: Another file than the package's prefect.yaml.
    """

    now: Callable[[], datetime] = utc_now
    folder: Path = FOLDER
    timetable_path: Path | None = None
    resources: ExitStack = field(default_factory=ExitStack, repr=False)
    opened_client: SyncPrefectClient | None = None
    opened_engine: Engine | None = None
    is_migrated: bool = False

    @property
    def client(self) -> SyncPrefectClient:
        """The client of the Prefect server."""
        return given(self.opened_client, "the Prefect server")

    @cached_property
    def deployed(self) -> Mapping[str, DeploymentResponse]:
        """Our deployments on the server, by 'flow/deployment'."""
        found = list(our_deployments(self.client))
        flows = {flow_id: self.client.read_flow(flow_id).name for flow_id in {each.flow_id for each in found}}
        return {f"{flows[each.flow_id]}/{each.name}": each for each in found}

    @property
    def engine(self) -> Engine:
        """The engine on the database."""
        return given(self.opened_engine, "the database")

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session on the database, if that has the tables of this version."""
        engine = self.engine
        given(self.is_migrated or None, "a database of this version")
        with Session(engine) as session:
            yield session

    @contextmanager
    def examined(self) -> Iterator[None]:
        """Bound every request in time while the body runs, and close what the checks have opened."""
        bounds = {PREFECT_API_REQUEST_TIMEOUT: REQUEST_SECONDS, PREFECT_CLIENT_MAX_RETRIES: RETRIES}
        with temporary_settings(bounds), self.resources:
            yield
