"""The automations that crash runs without a process, which frees their concurrency slots."""

from datetime import timedelta

from prefect.automations import AutomationCore, ChangeFlowRunState, EventTrigger, Posture
from prefect.client.schemas.objects import StateType

from blocks.names import TAG

HEARTBEAT_SECONDS = 30
"""How often our runs send a heartbeat, as prefect.yaml sets it. Prefect allows no less than 30."""

SILENCE = timedelta(seconds=150)
"""Five heartbeats, because a busy server that handles events a minute late must not end a healthy run.

This must be well below the 300 s lease of the deployment's slot, or the slot is freed twice.
"""

START = timedelta(seconds=300)
"""How long a submitted run may take until its first sign of life."""


def _crash(name: str, description: str, after: set[str], within: timedelta, message: str) -> AutomationCore:
    return AutomationCore(
        name=name,
        description=description,
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after=after,
            expect={"prefect.flow-run.*"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            # Only runs of our deployments: others send a heartbeat only every 180 s.
            match_related={"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
            for_each={"prefect.resource.id"},
            within=within,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message=message)],
    )


AUTOMATIONS = (
    _crash(
        "sivera: crash silent runs",
        "Ends a run of ours that has sent no heartbeat for 150 seconds: its process is gone.",
        after={"prefect.flow-run.Running", "prefect.flow-run.heartbeat"},
        within=SILENCE,
        message="No heartbeat for 150 seconds: the process is gone.",
    ),
    _crash(
        "sivera: crash runs that never started",
        "Ends a run of ours that was submitted and has shown no sign of life for 300 seconds.",
        after={"prefect.flow-run.Pending", "prefect.flow-run.Submitting", "prefect.flow-run.InfrastructurePending"},
        within=START,
        message="Submitted 300 seconds ago, and never started.",
    ),
)
