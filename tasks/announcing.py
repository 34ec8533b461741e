"""Telling the world how a run of a job ended."""

import logging

from prefect.events import emit_event

from sivera.logs import log

logger = logging.getLogger("sivera.jobs")


def announce(job: str, *, success: bool, processed: int, failed: int, **more: object) -> None:
    """Log how the run ended, and emit the event `sivera.<job>.finished` for automations, the HTTP door and monitors.

    Args:
        job: The job's name.
        success: Whether the run did all that it should.
        processed: How many things it dealt with, those that failed among them.
        failed: How many of them failed.
        more: What else the payload says, as JSON; never a secret.
    """
    figures = {name: value for name, value in more.items() if isinstance(value, str | int)}
    level = logging.INFO if success else logging.WARNING
    log(logger, level, "Job finished", success=success, processed=processed, failed=failed, **figures)
    emit_event(
        f"sivera.{job}.finished",
        resource={"prefect.resource.id": f"sivera.job.{job}", "prefect.resource.name": job},
        payload={"success": success, "totalProcessed": processed, "failed": failed, **more},
    )
