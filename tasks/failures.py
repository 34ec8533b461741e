"""How the task of one account, grant or team fails: it retries if that may help, and otherwise ends with a reason."""

import logging
from typing import Any

from prefect.client.schemas.objects import State
from prefect.runtime import task_run
from prefect.states import Failed
from sqlalchemy.exc import SQLAlchemyError

from sivera.errors import SiveraError
from sivera.logs import log
from sivera.reasons import is_explained, is_worth_a_retry, reason_for

logger = logging.getLogger("sivera.tasks")

RETRIES = 2


def _retry(_task: object, _task_run: object, state: State) -> bool:
    return is_worth_a_retry(state.result(raise_on_failure=False))


RETRIED: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay_seconds": [1, 3],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _retry,
}
"""The retry options of a step that works on one account, grant or team."""


def end_attempt(error: Exception, logger: logging.Logger, message: str, **about: object) -> State:
    """Log why an attempt failed, and return its final state.

    Raises:
        Exception: The error itself, if Prefect is to retry the task, or if it is not one of ours.
    """
    if is_worth_a_retry(error) and task_run.run_count <= RETRIES:
        raise error
    log(logger, logging.WARNING, message, **about, reason=reason_for(error))
    return failed(error)


def failed(error: Exception) -> State:
    """Return the failed state for one of our errors. An error that its reason does not explain is logged as well.

    Raises:
        Exception: The error itself if it is not one of ours: its traceback is needed then.
    """
    if not isinstance(error, SiveraError | SQLAlchemyError):
        raise error
    if not is_explained(error):
        logger.error("Unexpected", exc_info=error)
    return Failed(message=reason_for(error), data=error)
