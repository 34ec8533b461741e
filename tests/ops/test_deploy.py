"""Deploys a timetable to a real Prefect server, repeatedly and after changes by an operator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from blocks.server import connect
from ops.deploy import deploy, differences
from ops.timetable import read_timetable
from sivera.errors import ConfigurationError
from tests.ops.timetables import ALL, SPLIT, timetable, write

NAMES = ("example/all", "example/split")


def deployments(client: SyncPrefectClient) -> Mapping[str, DeploymentResponse]:
    return {deployment.name: deployment for deployment in client.read_deployments(limit=200)}


def ids(client: SyncPrefectClient) -> set[UUID]:
    found = deployments(client).values()
    return {each.id for each in found} | {schedule.id for each in found for schedule in each.schedules}


def active(deployment: DeploymentResponse) -> dict[str | None, bool]:
    return {schedule.slug: schedule.active for schedule in deployment.schedules}


@pytest.mark.usefixtures("clean_prefect")
def test_deploying_twice_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, timetable())
    # The current folder must not matter, even if it has Prefect settings and a package with the name of ours.
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "__init__.py").write_text("raise ImportError")
    (tmp_path / "prefect.toml").write_text('[api]\nurl = "http://127.0.0.1:1/api"')
    monkeypatch.chdir(tmp_path)

    first = deploy(timetable_path=path)
    assert first.created[-2:] == NAMES
    assert (first.updated, first.unchanged, first.pruned, first.kept_paused) == ((), (), (), ())
    with connect() as client:
        made = ids(client)
        deployed = deployments(client)["all"]
        assert deployed.pull_steps == []
        assert active(deployments(client)["split"]) == {"hourly": False}

        second = deploy(timetable_path=path)
        assert (second.created, second.updated, second.unchanged, second.pruned) == ((), (), NAMES, ())
        assert ids(client) == made
    check_drift(path, deployed)


def check_drift(path: Path, existing: DeploymentResponse) -> None:
    """Check that each part of a deployment is compared with the file."""
    read, flows = read_timetable(path)
    daily, hourly = sorted(existing.schedules, key=lambda each: each.slug or "")
    weekly = hourly.model_copy(update={"slug": "weekly"})
    drift: dict[str, dict[str, Any]] = {
        "version": {"version": "another"},
        "schema of parameters": {"parameter_openapi_schema": {}},
        "entrypoint": {"entrypoint": "tests.ops.timetables.other_example"},
        "description": {"description": "Something else."},
        "parameters": {"parameters": {"options": {"mode": "full"}}},
        "tags": {"tags": ["sivera", "new"]},
        "work pool": {"job_variables": {"env": {"EXAMPLE": "2"}}},
        "concurrency limit": {"concurrency_options": None},
        "schedule daily": {"schedules": [hourly]},
        "schedule hourly": {"schedules": [hourly.model_copy(update={"parameters": {"options": {}}}), daily]},
        "schedule weekly": {"schedules": [hourly, daily, weekly]},
    }
    for said, change in drift.items():
        found = differences(flows[ALL["entrypoint"]], read.deployments[0], existing.model_copy(update=change))
        assert found == [said]


@pytest.mark.usefixtures("clean_prefect")
def test_switches_of_an_operator_stay_and_everything_else_is_updated(tmp_path: Path) -> None:
    deploy(timetable_path=write(tmp_path, timetable()))
    with connect() as client:
        before = deployments(client)
        client.pause_deployment(before["all"].id)
        for deployment, switched in (("all", False), ("split", True)):
            schedule = next(each for each in before[deployment].schedules if each.slug == "hourly")
            client.update_deployment_schedule(before[deployment].id, schedule.id, active=switched)
        (by_hand,) = client.create_deployment_schedules(
            before["all"].id,
            [DeploymentScheduleCreate(schedule=CronSchedule(cron="7 7 * * *", timezone="UTC"), active=False)],
        )

        document = timetable()
        document["deployments"][0]["schedules"][0]["cron"] = "1 * * * *"
        summary = deploy(timetable_path=write(tmp_path, document))

        after = deployments(client)
        assert (summary.updated, summary.unchanged, summary.pruned) == (("example/all",), ("example/split",), ())
        assert summary.kept_paused == ("example/all", "example/all/hourly")
        assert after["all"].paused
        assert not after["split"].paused
        slug = f"by-hand-{by_hand.id.hex[-8:]}"
        assert active(after["all"]) == {"hourly": False, "daily": True, slug: False}
        assert active(after["split"]) == {"hourly": True}
        assert ids(client) == {each.id for each in after.values()} | {
            schedule.id for each in before.values() for schedule in each.schedules
        } | {by_hand.id}
        assert {getattr(schedule.schedule, "cron", None) for schedule in after["all"].schedules} == {
            "1 * * * *",
            "30 2 * * *",
            "7 7 * * *",
        }


@pytest.mark.usefixtures("clean_prefect")
def test_only_our_own_unlisted_deployments_are_pruned(tmp_path: Path) -> None:
    deploy(timetable_path=write(tmp_path, timetable()))
    with connect() as client:
        client.create_work_pool(WorkPoolCreate(name="elsewhere", type="process"))
        flow_id = deployments(client)["all"].flow_id
        client.create_deployment(flow_id, "stranger-in-our-pool", work_pool_name="sivera", tags=["theirs"])
        client.create_deployment(flow_id, "stranger-with-our-tag", work_pool_name="elsewhere", tags=["sivera"])

        summary = deploy(timetable_path=write(tmp_path, timetable(ALL | {"schedules": ALL["schedules"][:1]})))

        assert set(summary.pruned) == {"example/split", "example/all/daily"}
        assert set(deployments(client)) == {"all", "stranger-in-our-pool", "stranger-with-our-tag"}
        assert active(deployments(client)["all"]) == {"hourly": True}


@pytest.mark.usefixtures("clean_prefect")
def test_an_invalid_file_changes_nothing_and_a_refusal_by_prefect_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="key 'nme': no such key"):
        deploy(timetable_path=write(tmp_path, timetable(ALL | {"nme": "x"})))
    with connect() as client:
        assert client.read_work_pools() == []
        assert deployments(client) == {}
    pool = {"name": "sivera", "job_variables": {"env": ["not a mapping"]}}
    with pytest.raises(ConfigurationError, match=r"^Prefect refuses the deployment 'example/split' .*not a mapping"):
        deploy(timetable_path=write(tmp_path, timetable(SPLIT | {"work_pool": pool})))
