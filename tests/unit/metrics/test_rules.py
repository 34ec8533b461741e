"""How runs are counted, and Prometheus' text format."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sivera.errors import ConfigurationError
from sivera.metrics import definitions as of
from sivera.metrics.definitions import Collection
from sivera.metrics.exposition import to_text
from sivera.metrics.rules import JobRun, JobRuns, run_samples, window
from sivera.settings import read_daily_calls
from sivera.values import PlatformName

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
JOB = "sync-campaigns"


def run(outcome: str, minutes: int, seconds: float = 10.0) -> JobRun:
    at = NOW - timedelta(minutes=minutes)
    return JobRun(job=JOB, outcome=outcome, ended_at=at, duration_seconds=seconds, queue_delay_seconds=1.5)


def after(*runs: JobRun, previous: Collection | None = None, jobs: tuple[str, ...] = (JOB,)) -> Collection:
    return Collection(at=NOW, samples=tuple(run_samples(previous, JobRuns(jobs=jobs, runs=runs))))


def test_runs_add_up_and_the_last_one_that_was_not_skipped_counts() -> None:
    first = after(run("failed", 3, 30), run("completed", 9), run("cancelled", 1, 0))
    assert first.values(of.JOB_RUNS) == {(JOB, "failed"): 1, (JOB, "completed"): 1, (JOB, "cancelled"): 1}
    assert first.values(of.JOB_RUN_SECONDS) == {(JOB,): 40}
    assert first.values(of.JOB_QUEUE_SECONDS) == {(JOB,): 3}
    assert first.values(of.LAST_RUN_SUCCESS) == {(JOB,): 0}
    assert first.values(of.LAST_RUN_DURATION) == {(JOB,): 30}
    assert first.values(of.LAST_RUN_TIMESTAMP) == {(JOB,): (NOW - timedelta(minutes=3)).timestamp()}
    second = after(run("completed", 0, 5), previous=first)
    assert second.values(of.JOB_RUNS)[JOB, "completed"] == 2
    assert second.values(of.JOB_RUN_SECONDS) == {(JOB,): 45}
    assert second.values(of.LAST_RUN_SUCCESS) == {(JOB,): 1}


def test_a_job_keeps_its_counters_and_loses_its_last_run_with_its_deployment() -> None:
    first = after(run("completed", 3))
    silent, removed = after(previous=first), after(previous=first, jobs=())
    for metric in of.EXPORTED:
        assert silent.values(metric) == first.values(metric)
    assert removed.values(of.JOB_RUNS) == first.values(of.JOB_RUNS)
    assert not removed.values(of.LAST_RUN_TIMESTAMP)


def test_windows_are_adjacent() -> None:
    minute = timedelta(minutes=1)
    first = window(None, NOW, minute)
    collected = Collection(at=NOW, samples=(of.RUNS_UNTIL.sample(first.until.timestamp()),))
    second = window(collected, NOW + timedelta(minutes=30), 2 * minute)
    assert first.until == second.since == NOW - minute
    assert (first.until - first.since, second.until) == (timedelta(days=1), NOW + timedelta(minutes=28))
    assert not first.has(first.until)
    assert second.has(first.until)
    at_once = window(collected, NOW, 2 * minute)
    assert at_once.since == at_once.until


def test_a_different_quota_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_daily_calls() == {PlatformName.GOOGLE: 15_000}
    monkeypatch.setenv("SIVERA_DAILY_CALLS", '{"google": 2880}')
    assert read_daily_calls() == {PlatformName.GOOGLE: 2_880}
    for wrong in ("2880", "{google", '{"google": 0}', '{"gogle": 5}'):
        monkeypatch.setenv("SIVERA_DAILY_CALLS", wrong)
        with pytest.raises(ConfigurationError, match="SIVERA_DAILY_CALLS is invalid"):
            read_daily_calls()


def test_prometheus_can_read_a_collection() -> None:
    collection = after(run("completed", 3, 12.5), run("failed", 9))
    text = to_text(collection, NOW + timedelta(minutes=5)).decode()
    families = {each.name: each for each in text_string_to_metric_families(text)}
    runs = families["sivera_job_runs"]
    assert runs.type == "counter"
    assert {(s.name, s.labels["outcome"], s.value) for s in runs.samples} == {
        ("sivera_job_runs_total", "completed", 1),
        ("sivera_job_runs_total", "failed", 1),
    }
    (duration,) = families["sivera_job_last_run_duration_seconds"].samples
    assert (duration.labels, duration.value) == ({"job": JOB}, 12.5)
    assert families["sivera_job_last_run_duration_seconds"].documentation == of.LAST_RUN_DURATION.help
    assert "sivera_job_run_duration_seconds" not in families
    (age,) = families["sivera_collection_age_seconds"].samples
    assert age.value == 300
    (alone,) = text_string_to_metric_families(to_text(None, NOW).decode())
    assert (alone.name, alone.samples[0].value) == ("sivera_collection_age_seconds", math.inf)
