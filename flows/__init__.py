"""The flows: one file a job, which reads like the job's runbook."""

import prefect.main  # noqa: F401 - sets up Prefect's logging now: later it would undo ours

from sivera import logs
from sivera.settings import read_settings
from tasks.naming import run_fields

# Prefect shows the logger `sivera` in the UI (PREFECT_LOGGING_EXTRA_LOGGERS) but leaves its level at WARNING.
logs.configure(read_settings())
logs.identify(run_fields)
