"""`sivera history`: a real Prefect server."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from prefect.states import Cancelled, Completed, Failed, Pending, Running

from ops.commands.tables import to_minute
from ops.deploy import deploy
from sivera.clock import utc_now
from tests.ops.commands import Sivera
from tests.ops.timetables import ALL, timetable, write
from tests.prefect_server import set_states
from tests.tasks.late_runs import deployment, schedule_runs, to_datetime

HOUR = timedelta(hours=1)
FULL = "Deployment concurrency limit reached."


@pytest.mark.usefixtures("clean_prefect")
def test_history_is_readable_and_can_be_filtered(sivera: Sivera, tmp_path: Path) -> None:
    assert sivera("history", "example").refusal.endswith("none is deployed, run `sivera deploy`")
    assert sivera("history").out == "No scheduled times match.\n"
    hourly = ALL["schedules"][0] | {"cron": f"{(utc_now().minute + 30) % 60} * * * *"}
    deploy(timetable_path=write(tmp_path, timetable(ALL | {"schedules": [hourly]})))
    now = utc_now()
    long_ago, *_, failed, skipped, ran = schedule_runs("example/all", now - 30 * HOUR, now)
    with deployment() as (client, id_):
        by_hand = client.create_flow_run_from_deployment(id_)
    set_states(ran, Pending(), Running())
    set_states(skipped, Cancelled(message=FULL))
    set_states(ran, Completed(message="all went well"))
    set_states(failed, Pending(), Running(), Failed(message="it broke\nat line 7"))
    set_states(by_hand, Pending(), Running(), Completed(message="well done"))

    answer = sivera("history", "example")
    assert (answer.code, answer.err) == (0, "")
    columns, first, second, third, fourth, *_ = answer.out.splitlines()
    assert columns.split()[:4] == ["scheduled", "(UTC)", "deployment", "outcome"]
    assert first.rstrip().endswith("By hand. well done")
    assert second.startswith(to_minute(to_datetime(ran)))
    assert str(ran.id) in second
    assert second.rstrip().endswith("all went well")
    assert third.rstrip().endswith(f"{FULL} By run {ran.id}.")
    assert fourth.rstrip().endswith("it broke")
    assert str(long_ago.id) not in answer.out
    assert str(long_ago.id) in sivera("history", "--days", "2").out
    (found,) = json.loads(sivera("history", "example", "--outcome", "failed", "--json").out)
    assert (found["run_id"], found["message"]) == (str(failed.id), "it broke\nat line 7")
    assert json.loads(sivera("history", "--outcome", "running", "--json").out) == []
    assert sivera("history", "exmaple").refusal == "there is no job 'exmaple': the jobs are example"
