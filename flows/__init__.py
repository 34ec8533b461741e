"""The flows: one file a job, each reads like its runbook."""

import logging

# Prefect shows the logger `sivera` in the UI (PREFECT_LOGGING_EXTRA_LOGGERS) but leaves its level as it is: WARNING.
logging.getLogger("sivera").setLevel(logging.INFO)
