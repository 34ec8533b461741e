"""How the steps of a run appear in the UI and in log lines."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.context import FlowRunContext, TaskRunContext

P = ParamSpec("P")
R = TypeVar("R")


def step(name: str, run_name: str = "", **options: Any) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a task of a step. Its runs are called `run_name`, or like the step. No result is cached or persisted."""
    return task(name=name, task_run_name=run_name or name, persist_result=False, **options)


def tag_task_run(*tags: str) -> None:
    """Tag the task run that calls this. The tags are recorded with its final state.

    Prefect asks for concurrency limits before each task run that starts with tags, which is too slow for thousands.
    """
    context = TaskRunContext.get()
    if context:
        context.task_run.tags = sorted({*context.task_run.tags, *tags})  # it may be a second attempt


def run_fields() -> dict[str, str]:
    """Return the fields that name the current run in log lines; none outside of a run."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return {}
    return {"job": context.flow.name, "run_id": str(context.flow_run.id)}
