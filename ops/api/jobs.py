"""The jobs that the HTTP API starts: what prefect.yaml deploys."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, Field, create_model

from ops.timetable import read_timetable

MAIN_DEPLOYMENT = "all"
OPTIONS = "options"
"""The parameter of a job's flow that holds its options."""

MAX_WAIT_SECONDS = 300
"""As long as the longest job may take."""

WAIT = Field(
    default=0,
    ge=0,
    le=MAX_WAIT_SECONDS,
    description="Seconds to wait for the end of the run; 0 answers as soon as it is started.",
)


@dataclass(frozen=True)
class Job:
    """A job and its options."""

    name: str
    description: str
    options: type[BaseModel]

    @property
    def deployment(self) -> str:
        """The deployment that a call starts, as 'flow/deployment'."""
        return f"{self.name}/{MAIN_DEPLOYMENT}"

    @cached_property
    def query(self) -> type[BaseModel]:
        """What a query may hold: `wait`, and the options. A query cannot write an object; such options need a body."""
        flat: dict[str, Any] = {
            name: (field.annotation, field)
            for name, field in self.options.model_fields.items()
            if get_origin(field.annotation) is not dict
        }
        return create_model(
            f"{self.options.__name__}Query", __config__=self.options.model_config, **flat, wait=(int, WAIT)
        )


def read_jobs(timetable_path: Path | None = None) -> Mapping[str, Job]:
    """Return the job of each flow of which the timetable has the deployment 'all', by its name. Each has options."""
    timetable, flows = read_timetable(timetable_path)
    return {
        flow.name: Job(flow.name, each.description.strip(), flow.fn.__annotations__[OPTIONS])
        for each in timetable.deployments
        if each.name == MAIN_DEPLOYMENT and (flow := flows[each.entrypoint])
    }
