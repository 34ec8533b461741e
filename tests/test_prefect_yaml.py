"""The timetable that is shipped: what it promises, and that it fits the flows."""

import json

import pytest

from blocks.automations import HEARTBEAT_SECONDS, SILENCE
from blocks.names import LOCKS, TAG, lock_name
from ops.timetable import Deployment, find_timetable, read_timetable
from sivera.sync.options import SyncOptions
from sivera.values import PlatformName

TIMETABLE, FLOWS = read_timetable(find_timetable())
DEPLOYMENTS = pytest.mark.parametrize("deployment", TIMETABLE.deployments, ids=lambda deployment: deployment.name)
SPLIT = [platform.value for platform in PlatformName]


def test_when_each_job_runs() -> None:
    runs = {
        f"{FLOWS[deployment.entrypoint].name}/{deployment.name}/{schedule.slug}": (
            schedule.cron,
            schedule.timezone,
            schedule.active,
        )
        for deployment in TIMETABLE.deployments
        for schedule in deployment.schedules
    }
    assert runs == {
        "sync-campaigns/all/hourly": ("0 */1 * * *", "UTC", True),
        "sync-campaigns/all/daily-full": ("30 2 * * *", "UTC", True),
        "sync-campaigns/google/hourly": ("5 * * * *", "UTC", False),
        "sync-campaigns/google/daily-full": ("32 2 * * *", "UTC", False),
        "sync-campaigns/meta/hourly": ("20 * * * *", "UTC", False),
        "sync-campaigns/meta/daily-full": ("36 2 * * *", "UTC", False),
        "sync-campaigns/amazon/hourly": ("35 * * * *", "UTC", False),
        "sync-campaigns/amazon/daily-full": ("40 2 * * *", "UTC", False),
        "sync-campaigns/tiktok/hourly": ("50 * * * *", "UTC", False),
        "sync-campaigns/tiktok/daily-full": ("44 2 * * *", "UTC", False),
    }


@DEPLOYMENTS
def test_each_schedule_syncs_what_its_deployment_is_for(deployment: Deployment) -> None:
    platforms = (PlatformName(deployment.name),) if deployment.name in SPLIT else ()
    options = {
        schedule.slug: SyncOptions.model_validate((deployment.parameters | schedule.parameters)["options"])
        for schedule in deployment.schedules
    }
    assert options == {
        "hourly": SyncOptions.model_validate({"mode": "incremental", "platforms": platforms}),
        "daily-full": SyncOptions.model_validate({"mode": "full", "platforms": platforms}),
    }


@DEPLOYMENTS
def test_a_second_run_is_cancelled(deployment: Deployment) -> None:
    limit = deployment.concurrency_limit
    assert (limit.limit, limit.collision_strategy, limit.grace_period_seconds) == (1, "CANCEL_NEW", 60)


@DEPLOYMENTS
def test_is_tagged_with_its_job_and_tier(deployment: Deployment) -> None:
    assert deployment.tags[:2] == (TAG, FLOWS[deployment.entrypoint].name)
    assert deployment.tags[2].startswith("tier-")


@DEPLOYMENTS
def test_runs_send_heartbeats_often_enough_for_the_automation(deployment: Deployment) -> None:
    environment = deployment.work_pool.job_variables["env"]
    assert environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == str(HEARTBEAT_SECONDS)
    assert SILENCE.total_seconds() >= 3 * HEARTBEAT_SECONDS


@DEPLOYMENTS
def test_the_logs_of_our_code_reach_prefect(deployment: Deployment) -> None:
    assert deployment.work_pool.job_variables["env"]["PREFECT_LOGGING_EXTRA_LOGGERS"] == "sivera"


def test_every_environment_variable_is_one_that_holds_no_secret() -> None:
    # Job variables are plain text for everyone who reads the UI: a new one is looked at before it is added here.
    variables = {json.dumps(deployment.work_pool.job_variables, sort_keys=True) for deployment in TIMETABLE.deployments}
    assert variables == {
        json.dumps(
            {
                "env": {
                    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
                    "PREFECT_LOGGING_EXTRA_LOGGERS": "sivera",
                    "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "WARNING",
                }
            },
            sort_keys=True,
        )
    }


def test_setup_makes_a_lock_for_each_platform_that_the_job_syncs() -> None:
    assert set(LOCKS) == {lock_name("sync-campaigns", platform) for platform in PlatformName}
