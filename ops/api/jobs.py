"""The jobs that the HTTP API can start: those that prefect.yaml deploys."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, Field, create_model

from ops.timetable import read_timetable

MAIN_DEPLOYMENT = "all"
OPTIONS = "options"
"""The flow parameter that holds a job's options."""

WAIT = Field(
    default=0,
    ge=0,
    le=300,  # the timeout of the longest job
    description="Seconds to wait for the run to end; 0 answers as soon as it is created.",
)


@dataclass(frozen=True)
class Job:
    """A job and its options."""

    name: str
    description: str
    options: type[BaseModel]

    @property
    def deployment(self) -> str:
        """The full name of the deployment that a call starts."""
        return f"{self.name}/{MAIN_DEPLOYMENT}"

    @cached_property
    def query(self) -> type[BaseModel]:
        """The parameters of a query: `wait` and the options, except objects, which only a body can express."""
        flat: dict[str, Any] = {
            name: (field.annotation, field)
            for name, field in self.options.model_fields.items()
            if get_origin(field.annotation) is not dict
        }
        return create_model(
            f"{self.options.__name__}Query", __config__=self.options.model_config, **flat, wait=(int, WAIT)
        )


def read_jobs(timetable_path: Path | None = None) -> Mapping[str, Job]:
    """Return, by name, the job of each flow that has a deployment 'all' in the timetable."""
    timetable, flows = read_timetable(timetable_path)
    return {
        flow.name: Job(flow.name, each.description.strip(), flow.fn.__annotations__[OPTIONS])
        for each in timetable.deployments
        if each.name == MAIN_DEPLOYMENT and (flow := flows[each.entrypoint])
    }
