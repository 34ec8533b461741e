"""How the task of one account, grant or team fails: it tries again if that may help, else ends with a reason."""

import logging
from typing import Any

from prefect.cache_policies import NO_CACHE
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


OF_ONE_ITEM: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay_seconds": [1, 3],
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": _retry,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
"""The options of a task that works on one account, grant or team."""


def end_attempt(error: Exception, logger: logging.Logger, message: str, **about: object) -> State:
    """End an attempt of a task on one item: log why it failed, and return its state.

    Raises:
        Exception: The error itself, if Prefect runs the task again, or if it is not ours.
    """
    if is_worth_a_retry(error) and task_run.run_count <= RETRIES:
        raise error
    log(logger, logging.WARNING, message, **about, reason=reason_for(error))
    return failed(error)


def failed(error: Exception) -> State:
    """Return the state of a task that one of our errors ends.

    Its reason says everything, or the log has the traceback too. One for each of thousands would bury what matters.

    Raises:
        Exception: The error itself if it is not ours: then we need its traceback.
    """
    if not isinstance(error, SiveraError | SQLAlchemyError):
        raise error
    if not is_explained(error):
        logger.error("Unexpected", exc_info=error)
    return Failed(message=reason_for(error), data=error)
