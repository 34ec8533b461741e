"""Telling the world how a run of a job ended."""

from prefect.events import emit_event


def announce(job: str, *, success: bool, processed: int, failed: int, **more: object) -> None:
    """Emit the event `sivera.<job>.finished`, which automations, the HTTP door and monitors read.

    Args:
        job: The job's name.
        success: Whether the run did all that it should.
        processed: How many things it dealt with, those that failed among them.
        failed: How many of them failed.
        more: What else the payload says, as JSON; never a secret.
    """
    emit_event(
        f"sivera.{job}.finished",
        resource={"prefect.resource.id": f"sivera.job.{job}", "prefect.resource.name": job},
        payload={"success": success, "totalProcessed": processed, "failed": failed, **more},
    )
