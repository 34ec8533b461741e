"""The rules of counting, the forms in which figures leave, and the charts."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sivera.charts import to_svg
from sivera.errors import ConfigurationError
from sivera.metrics import definitions as of
from sivera.metrics.definitions import Collection, Sample
from sivera.metrics.exposition import to_text
from sivera.metrics.pictures import draw
from sivera.metrics.rules import JobRun, JobRuns, Used, quotas_left, run_samples, samples_of, window
from sivera.settings import read_daily_calls
from sivera.values import PlatformName

NOW = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
JOB = "sync-campaigns"


def run(outcome: str, minutes: int, seconds: float = 10.0) -> JobRun:
    at = NOW - timedelta(minutes=minutes)
    return JobRun(job=JOB, outcome=outcome, ended_at=at, duration_seconds=seconds, queue_delay_seconds=1.5)


def after(*runs: JobRun, previous: Collection | None = None, jobs: tuple[str, ...] = (JOB,)) -> Collection:
    return Collection(at=NOW, samples=tuple(run_samples(previous, JobRuns(jobs=jobs, runs=runs))))


def test_runs_add_up_and_the_last_that_was_not_skipped_counts() -> None:
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


def test_what_is_known_of_a_job_stays_while_it_does_not_run() -> None:
    first = after(run("completed", 3))
    assert after(previous=first).samples == first.samples


def test_of_a_job_that_is_no_longer_deployed_the_last_run_goes_and_the_counters_stay() -> None:
    first = after(run("completed", 3))
    removed = after(previous=first, jobs=())
    assert removed.values(of.JOB_RUNS) == first.values(of.JOB_RUNS)
    assert not removed.values(of.LAST_RUN_TIMESTAMP)


def test_windows_touch_and_never_overlap() -> None:
    minute = timedelta(minutes=1)
    first = window(None, NOW, minute)
    collected = Collection(at=NOW, samples=(Sample(name=of.RUNS_UNTIL.name, value=first.until.timestamp()),))
    second = window(collected, NOW + timedelta(minutes=30), 2 * minute)
    assert first.until == second.since == NOW - minute
    assert second.until == NOW + timedelta(minutes=28)
    assert not first.has(first.until)
    assert second.has(first.until)
    at_once = window(collected, NOW, 2 * minute)
    assert at_once.since == at_once.until


def test_what_is_left_of_a_quota_is_between_nothing_and_all() -> None:
    google, meta, tiktok = PlatformName.GOOGLE, PlatformName.META, PlatformName.TIKTOK

    def used(platform: PlatformName, calls: int, percent: float | None = None) -> dict[PlatformName, Used]:
        return {platform: Used(platform=platform, calls_of_day=calls, used_percent=percent)}

    found = quotas_left(used(google, 2_000) | used(meta, 5, 101.0) | used(tiktok, 9), {google: 1_000, tiktok: 10})
    assert {(s.labels["platform"], s.labels["quota"]): round(s.value, 3) for s in found} == {
        ("google", "calls_a_day"): 0.0,
        ("tiktok", "calls_a_day"): 0.1,
        ("meta", "said_by_platform"): 0.0,
    }
    assert [s.value for s in quotas_left({}, {google: 1_000})] == [1.0]


def test_a_quota_of_one_s_own_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_daily_calls() == {PlatformName.GOOGLE: 15_000}
    monkeypatch.setenv("SIVERA_DAILY_CALLS", '{"google": 2880}')
    assert read_daily_calls() == {PlatformName.GOOGLE: 2_880}
    for wrong in ("2880", "{google", '{"google": 0}', '{"gogle": 5}'):
        monkeypatch.setenv("SIVERA_DAILY_CALLS", wrong)
        with pytest.raises(ConfigurationError, match="SIVERA_DAILY_CALLS does not fit"):
            read_daily_calls()


def test_prometheus_reads_what_was_collected() -> None:
    collection = after(run("completed", 3, 12.5), run("failed", 9))
    families = {each.name: each for each in text_string_to_metric_families(to_text(collection, NOW).decode())}
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
    assert age.value == 0


def test_the_age_is_as_of_now_and_endless_where_nothing_was_collected() -> None:
    def age(collection: Collection | None) -> float:
        (family, *_) = text_string_to_metric_families(to_text(collection, NOW + timedelta(minutes=5)).decode())
        return family.samples[0].value

    assert age(after()) == 300
    assert age(None) == math.inf
    assert len(list(text_string_to_metric_families(to_text(None, NOW).decode()))) == 1


def test_the_charts_are_drawn_also_where_there_is_nothing_to_show() -> None:
    series = {
        of.SYNC_AGE.name: [
            (NOW - timedelta(minutes=30 * n), Sample(name=of.SYNC_AGE.name, labels=labels, value=600.0 * n))
            for n in (1, 2)
            for labels in ({"platform": "meta", "quantile": "0.9"}, {"platform": "meta", "quantile": "1"})
        ],
        of.RUN_DURATION.name: [(NOW, next(iter(samples_of(run("failed", 0)))))],
    }
    grant = {"platform": "google", "refresh_token": "no", "ends_within": "30d"}
    collection = Collection(at=NOW, samples=(Sample(name=of.GRANTS_BY_EXPIRY.name, labels=grant, value=4),))
    shown = [to_svg(chart) for _, chart in draw(collection, series)]
    for svg, word in zip(shown, ("meta", "30d", "failed"), strict=True):
        assert svg.startswith("<svg")
        assert word in svg
    empty = draw(after(), {of.SYNC_AGE.name: [], of.RUN_DURATION.name: []})
    assert all(to_svg(chart).startswith("<svg") for _, chart in empty)
