"""The jobs that the door starts: what prefect.yaml deploys."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.flows import Flow
from pydantic import BaseModel, ConfigDict

from ops.timetable import find_timetable, read_timetable
from sivera.errors import ConfigurationError

MAIN_DEPLOYMENT = "all"
OPTIONS = "options"
"""The parameter of a job's flow that says what is asked of it."""


class NoOptions(BaseModel):
    """What a job without options takes: nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Job:
    """A job, and what can be asked of it."""

    name: str
    description: str
    options: type[BaseModel]

    @property
    def deployment(self) -> str:
        """The deployment that a call starts, as 'flow/deployment'."""
        return f"{self.name}/{MAIN_DEPLOYMENT}"

    @property
    def finished_event(self) -> str:
        """The name of the event with which a run tells what it did."""
        return f"sivera.{self.name}.finished"


def read_jobs(timetable_path: Path | None = None) -> Mapping[str, Job]:
    """Return the job of each flow that the timetable deploys, by its name.

    Args:
        timetable_path: Another file than the package's prefect.yaml.

    Raises:
        ConfigurationError: The file is wrong, or lacks the deployment that a call would start.
    """
    timetable, flows = read_timetable(timetable_path or find_timetable())
    main = {each.entrypoint: each for each in timetable.deployments if each.name == MAIN_DEPLOYMENT}
    if lacking := sorted(flow.name for entrypoint, flow in flows.items() if entrypoint not in main):
        raise ConfigurationError(
            f"prefect.yaml has no deployment '{MAIN_DEPLOYMENT}' of {', '.join(lacking)}: add it, a call starts it"
        )
    return {
        flow.name: Job(flow.name, main[entrypoint].description.strip(), _options(flow))
        for entrypoint, flow in flows.items()
    }


def _options(flow: Flow[..., Any]) -> type[BaseModel]:
    parameter = inspect.signature(flow.fn).parameters.get(OPTIONS)
    if parameter and isinstance(parameter.annotation, type) and issubclass(parameter.annotation, BaseModel):
        return parameter.annotation
    return NoOptions
