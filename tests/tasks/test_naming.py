"""What every step has in common, with a real Prefect server."""

from pathlib import Path

import pytest
from prefect import flow
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, PREFECT_RESULTS_PERSIST_BY_DEFAULT, temporary_settings

from tasks.naming import step
from tests.flows.runs import run, wait_for_task_runs


@pytest.mark.usefixtures("prefect_api")
def test_no_result_of_a_step_is_used_again_even_if_prefect_stores_results(tmp_path: Path) -> None:
    done = []

    @step("count", "count {word}")
    def count(word: str) -> int:
        done.append(word)
        return len(done)

    @flow
    def counting() -> None:
        count("sheep")
        count("sheep")

    with temporary_settings({PREFECT_RESULTS_PERSIST_BY_DEFAULT: True, PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        state = run(counting)
    assert state.is_completed()
    assert done == ["sheep", "sheep"]
    wait_for_task_runs(state, {"count sheep"})
