"""Timetables of the example flows, as dictionaries that a test bends."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

ALL: dict[str, Any] = {
    "name": "all",
    "entrypoint": "tests.ops.example_flows.example",
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
    """A timetable of the deployments, or of both examples; a copy of its own."""
    return {"name": "example", "pull": [], "deployments": [deepcopy(each) for each in deployments or (ALL, SPLIT)]}


def write(folder: Path, document: object) -> Path:
    """Write a timetable into a folder and return its path."""
    path = folder / "prefect.yaml"
    path.write_text(yaml.safe_dump(document))
    return path
