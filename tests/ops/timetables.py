"""An example flow, which nobody runs, and its timetables, as dictionaries that tests can change."""

from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import yaml
from prefect import flow
from pydantic import BaseModel, ConfigDict


class ExampleOptions(BaseModel):
    """Options like those of a job."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["incremental", "full"] = "incremental"
    platforms: tuple[str, ...] = ()


@flow(name="example")
def example(options: ExampleOptions) -> None:
    """Do nothing."""


ALL: dict[str, Any] = {
    "name": "all",
    "entrypoint": "tests.ops.timetables.example",
    "description": "Everything.",
    "tags": ["sivera"],
    "parameters": {"options": {"mode": "incremental"}},
    "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW", "grace_period_seconds": 60},
    "work_pool": {"name": "sivera", "job_variables": {"env": {"EXAMPLE": "1"}}},
    "schedules": [
        {"slug": "hourly", "cron": "0 * * * *", "timezone": "UTC"},
        {
            "slug": "daily",
            "cron": "30 2 * * *",
            "timezone": "Europe/Berlin",
            "parameters": {"options": {"mode": "full"}},
        },
    ],
}
SPLIT: dict[str, Any] = ALL | {
    "name": "split",
    "parameters": {"options": {"platforms": ["google"]}},
    "schedules": [{"slug": "hourly", "cron": "5 * * * *", "timezone": "UTC", "active": False}],
}


def timetable(*deployments: dict[str, Any]) -> dict[str, Any]:
    """A new timetable of these deployments, by default of both here."""
    return {"name": "example", "pull": [], "deployments": [deepcopy(each) for each in deployments or (ALL, SPLIT)]}


def write(folder: Path, document: object) -> Path:
    path = folder / "prefect.yaml"
    path.write_text(yaml.safe_dump(document))
    return path
