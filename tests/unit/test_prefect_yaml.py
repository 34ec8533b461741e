"""The timetable that is shipped: what it promises, and that it fits the flows."""

import re
from collections.abc import Iterator

from blocks.automations import HEARTBEAT_SECONDS, SILENCE
from blocks.names import BACKUP_JOB, CLEANUP_JOB, LOCKS, REFRESH_JOB, SYNC_JOB, TAG, lock_name
from ops.timetable import Deployment, find_timetable, read_timetable
from sivera.backups.options import BackupOptions
from sivera.grants.refreshing import RefreshOptions
from sivera.retention.options import CleanupOptions
from sivera.sync.plan import SyncOptions
from sivera.values import PlatformName
from tasks.announcing import end

TIMETABLE, FLOWS = read_timetable(find_timetable())


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
        "refresh-tokens/all/six-hourly": ("0 */6 * * *", "UTC", True),
        "refresh-tokens/google/six-hourly": ("0 */6 * * *", "UTC", False),
        "refresh-tokens/meta/six-hourly": ("5 */6 * * *", "UTC", False),
        "refresh-tokens/amazon/six-hourly": ("10 */6 * * *", "UTC", False),
        "refresh-tokens/tiktok/six-hourly": ("15 */6 * * *", "UTC", False),
        "cleanup-expired-tokens/all/daily": ("0 2 * * *", "UTC", True),
        "generate-reports/all/local-nights": ("0,15,30 * * * *", "UTC", True),
        "check-budgets/all/four-hourly": ("0 */4 * * *", "UTC", True),
        "check-alerts/all/five-minutely": ("*/5 * * * *", "UTC", True),
        "collect-metrics/all/half-hourly": ("*/30 * * * *", "UTC", True),
        "backup-data/all/weekly": ("0 3 * * 0", "UTC", True),
    }


def schedules(job: str) -> Iterator[tuple[Deployment, str, object]]:
    """Each schedule of a job: its deployment, its slug and the options that its runs have."""
    for deployment in TIMETABLE.deployments:
        if FLOWS[deployment.entrypoint].name == job:
            for schedule in deployment.schedules:
                yield deployment, schedule.slug, (deployment.parameters | schedule.parameters)["options"]


def platforms_of(deployment: Deployment) -> tuple[PlatformName, ...]:
    """The platforms that a deployment is for, by its name; none means all."""
    return (PlatformName(deployment.name),) if deployment.name in set(PlatformName) else ()


def test_each_schedule_does_what_its_deployment_is_for() -> None:
    modes = {"hourly": "incremental", "daily-full": "full"}
    for deployment, slug, options in schedules(SYNC_JOB):
        wanted = {"mode": modes[slug], "platforms": platforms_of(deployment)}
        assert SyncOptions.model_validate(options) == SyncOptions.model_validate(wanted)
    for deployment, _, options in schedules(REFRESH_JOB):
        assert RefreshOptions.model_validate(options) == RefreshOptions(platforms=platforms_of(deployment))


def test_only_the_timetable_lets_the_cleanup_delete_and_it_keeps_backups_as_their_options_say() -> None:
    (options,) = [options for *_, options in schedules(CLEANUP_JOB)]
    assert CleanupOptions.model_validate(options) == CleanupOptions(dry_run=False)
    assert CleanupOptions().dry_run
    (options,) = [options for *_, options in schedules(BACKUP_JOB)]
    assert BackupOptions.model_validate(options) == BackupOptions()


def test_every_deployment_cancels_a_second_run_has_its_tags_and_job_variables_without_secrets() -> None:
    # Job variables are plain text for everyone who reads the UI: a new one is looked at before it is added here.
    variables = {
        "command": (
            'python3 -c "import gc, runpy; gc.set_threshold(50_000); '
            "runpy.run_module('prefect.engine', run_name='__main__')\""
        ),
        "env": {
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
            "PREFECT_LOGGING_EXTRA_LOGGERS": "sivera",
            "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "WARNING",
        },
    }
    for deployment in TIMETABLE.deployments:
        limit = deployment.concurrency_limit
        assert (limit.limit, limit.collision_strategy, limit.grace_period_seconds) == (1, "CANCEL_NEW", 60)
        assert deployment.work_pool.job_variables == variables
        assert deployment.tags[:2] == (TAG, FLOWS[deployment.entrypoint].name)
        assert deployment.tags[2].startswith("tier-")
        assert deployment.tags[3:] == platforms_of(deployment)
        assert re.search(r"docs/operations\.md#[\w-]+\.$", deployment.description or ""), "its chapter of the guide"
    assert SILENCE.total_seconds() >= 3 * HEARTBEAT_SECONDS


def test_setup_makes_a_lock_for_each_platform_that_a_job_works_on_and_one_for_each_other_job() -> None:
    of_platforms = {lock_name(job, platform) for job in (SYNC_JOB, REFRESH_JOB) for platform in PlatformName}
    assert set(LOCKS) == of_platforms | {flow.name for flow in FLOWS.values()} - {SYNC_JOB, REFRESH_JOB}


def test_the_end_of_each_job_s_runs_is_announced() -> None:
    for flow in FLOWS.values():
        hooks = (flow.on_completion_hooks, flow.on_failure_hooks, flow.on_crashed_hooks, flow.on_cancellation_hooks)
        assert all(end in each for each in hooks), flow.name
