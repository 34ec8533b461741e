"""How runs are called and tagged, so that a list of them reads."""

from collections.abc import Callable, Iterable
from datetime import UTC
from typing import TypeVar

from prefect.context import FlowRunContext, TaskRunContext
from prefect.runtime import flow_run

OptionsT = TypeVar("OptionsT")


def named(job: str, words: Callable[[OptionsT], Iterable[str]] = lambda _: ()) -> Callable[[], str]:
    """Return what names a run when it starts: `sync-campaigns 14:00 incremental`.

    The time is when it was due, in UTC; of a run by hand it is when that was asked for.

    Args:
        job: The job's name.
        words: Gives the words that tell a run with these options from others.
    """

    def name() -> str:
        due = flow_run.scheduled_start_time.astimezone(UTC)
        return " ".join((job, f"{due:%H:%M}", *words(flow_run.parameters["options"])))

    return name


def tag_task_run(*tags: str) -> None:
    """Tag the task run that calls this.

    From within, because for tags that a task run starts with, Prefect asks for concurrency limits before each begins:
    docs/decisions/0022 has what that costs. What is set here is recorded with the state that the task run ends in.
    """
    context = TaskRunContext.get()
    if context:
        context.task_run.tags = sorted({*context.task_run.tags, *tags})  # it may be another attempt


def run_fields() -> dict[str, str]:
    """Return what a line of the log says of the run that it belongs to; nothing outside of one."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return {}
    return {"job": context.flow.name, "run_id": str(context.flow_run.id)}
