"""`sivera history`: a real Prefect server and PostgreSQL."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Completed, Pending, Running
from sivera.occurrences import queries
from sivera.occurrences.rules import DEPLOYMENT_IS_FULL, NEVER_MADE, Occurrence, Outcome
from sqlalchemy import text
from sqlalchemy.orm import Session

from blocks.server import connect
from ops.commands.tables import to_minute
from ops.deploy import deploy
from sivera.clock import utc_now
from tests.ops.commands import Sivera
from tests.ops.timetables import ALL, timetable, write
from tests.stage import Stage
from tests.tasks.late_runs import schedule_runs, to_datetime

HOUR = timedelta(hours=1)


@pytest.fixture
def deployed(ready: Stage, tmp_path: Path) -> Stage:
    """A stage whose Prefect server has the job 'example' with an hourly schedule, half an hour before its next time."""
    hourly = ALL["schedules"][0] | {"cron": f"{(utc_now().minute + 30) % 60} * * * *"}
    deploy(timetable_path=write(tmp_path, timetable(ALL | {"schedules": [hourly]})))
    return ready


def missed(hours: int, **more: object) -> Occurrence:
    when = (utc_now() - hours * HOUR).replace(minute=0, second=0, microsecond=0)
    row = {"deployment": "example/all", "job": "example", "schedule": "hourly", "message": NEVER_MADE}
    return Occurrence.model_validate(row | {"scheduled_at": when, "outcome": Outcome.MISSED} | more)


def record(stage: Stage, *rows: Occurrence) -> None:
    with Session(stage.engine) as session, session.begin():
        queries.record(session, rows)


def test_the_newest_first_up_to_date_and_readable(sivera: Sivera, deployed: Stage) -> None:
    now = utc_now()
    run = schedule_runs("example/all", now - 2 * HOUR, now)[-1]
    with connect() as client:
        states: list[State] = [Pending(), Running(), Completed(message="all went well")]
        for state in states:
            client.set_flow_run_state(run.id, state, force=True)
    skipped = {"outcome": Outcome.SKIPPED, "message": DEPLOYMENT_IS_FULL, "skipped_by": run.id, "ended_at": now}
    long_ago = missed(30)
    record(deployed, missed(3), missed(4, **skipped), long_ago)

    answer = sivera("history", "example")
    assert (answer.code, answer.err) == (0, "")
    columns, coming, ran, *_, gone, full = answer.out.splitlines()
    assert columns.split()[:4] == ["scheduled", "(UTC)", "deployment", "outcome"]
    assert coming.split()[2:] == ["example/all", "waiting"]
    assert ran.startswith(to_minute(to_datetime(run)))
    assert str(run.id) in ran
    assert ran.rstrip().endswith("all went well")
    assert gone.rstrip().endswith(NEVER_MADE)
    assert full.rstrip().endswith(f"{DEPLOYMENT_IS_FULL} By run {run.id}.")
    assert to_minute(long_ago.scheduled_at) not in answer.out
    assert to_minute(long_ago.scheduled_at) in sivera("history", "--days", "2").out


def test_a_run_by_hand_says_so(sivera: Sivera, deployed: Stage) -> None:
    assert deployed
    with connect() as client:
        run = client.create_flow_run_from_deployment(client.read_deployment_by_name("example/all").id)
        states: list[State] = [Pending(), Running(), Completed(message="all went well")]
        for state in states:
            client.set_flow_run_state(run.id, state, force=True)
    (row,) = [line for line in sivera("history", "example").out.splitlines() if str(run.id) in line]
    assert row.rstrip().endswith("By hand. all went well")
    (found,) = json.loads(sivera("history", "example", "--outcome", "ran", "--json").out)
    assert (found["schedule"], found["run_id"]) == (None, str(run.id))


def test_one_outcome_and_json(sivera: Sivera, deployed: Stage) -> None:
    record(deployed, missed(3), missed(5, outcome=Outcome.FAILED, message="it broke\nat line 7", ended_at=utc_now()))
    (row,) = json.loads(sivera("history", "example", "--outcome", "failed", "--json").out)
    assert Occurrence.model_validate(row).message == "it broke\nat line 7"
    assert sivera("history", "--outcome", "failed").out.splitlines()[1].rstrip().endswith("it broke")
    assert sivera("history", "--outcome", "running").out == "No scheduled time fits.\n"
    assert json.loads(sivera("history", "--outcome", "running", "--json").out) == []


def test_an_unknown_job_is_told_the_jobs(sivera: Sivera, deployed: Stage) -> None:
    record(deployed, missed(3, job="gone-job", deployment="gone-job/all"))
    assert sivera("history", "exmaple").refusal == "there is no job 'exmaple': the jobs are example, gone-job"
    assert "gone-job/all" in sivera("history", "gone-job").out


def test_without_deployments_the_mend_is_told(sivera: Sivera, ready: Stage) -> None:
    assert ready
    assert sivera("history", "example").refusal.endswith("none is deployed, run `sivera deploy`")
    assert sivera("history").out == "No scheduled time fits.\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--outcome", "lost"), 'Invalid value "lost"'),
        (("--days", "0"), "Must be >= 1"),
        (("a", "b"), "word too many"),
    ],
)
def test_what_does_not_fit_is_told(sivera: Sivera, arguments: tuple[str, ...], part: str) -> None:
    answer = sivera("history", *arguments)
    assert answer.code == 2
    assert part in answer.refusal


def test_a_database_of_an_older_version_is_told(sivera: Sivera, deployed: Stage) -> None:
    with deployed.engine.begin() as connection:
        connection.execute(text("DROP TABLE job_occurrences"))
    assert "run `sivera migrate`" in sivera("history").refusal
