"""Tags of task runs, and the fields that name a run in its log lines."""

from prefect.context import FlowRunContext, TaskRunContext


def tag_task_run(*tags: str) -> None:
    """Tag the task run that calls this.

    It is done from within because Prefect asks for concurrency limits before each task run that starts with tags, which
    is too slow for thousands of them. Tags that are set here are recorded with the task run's final state.
    """
    context = TaskRunContext.get()
    if context:
        context.task_run.tags = sorted({*context.task_run.tags, *tags})  # it may be another attempt


def run_fields() -> dict[str, str]:
    """Return the fields that name the current run; none outside of one."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or context.flow_run is None:
        return {}
    return {"job": context.flow.name, "run_id": str(context.flow_run.id)}
