"""Problems of a timetable are found before anything is changed."""

from pathlib import Path
from typing import Any

import pytest

from ops.timetable import read_timetable
from sivera.errors import ConfigurationError
from tests.ops.timetables import timetable, write

NO_SUCH_KEY = "no such key: correct its spelling, or remove it"


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read_timetable(path)
    return str(caught.value).splitlines()


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({"concurrency_limits": 1}, f"'all', key 'concurrency_limits': {NO_SUCH_KEY}"),
    ({"concurrency_limit": ...}, "'all', key 'concurrency_limit': missing: add it"),
    ({"tags": ["mine"]}, "'all', key 'tags': the tag 'sivera' is missing: add it, pruning and automations need it"),
    ({"work_pool.name": "mine"}, "'all', key 'work_pool.name': 'mine' is not our work pool: write sivera"),
    (
        {"entrypoint": "flows/example.py:example"},
        "'all', key 'entrypoint': 'flows/example.py:example' is not a module's flow: write it like ",
    ),
    (
        {"entrypoint": "tests.ops.absent_flows.example"},
        "'all', key 'entrypoint': 'tests.ops.absent_flows.example' cannot be loaded (ModuleNotFoundError: ",
    ),
    (
        {"parameters": {"option": {}}, "schedules": []},
        "'all', key 'parameters': they do not fit the flow 'example' (Function expects parameters ",
    ),
    ({"schedules.0.timezon": "UTC"}, f"'all', schedule 'hourly', key 'timezon': {NO_SUCH_KEY}"),
    (
        {"schedules.0.timezone": "Europe/Berlinn"},
        "'all', schedule 'hourly', key 'timezone': 'Europe/Berlinn' is not a time zone: write an IANA name, such as",
    ),
    *(
        (
            {"schedules.0.cron": cron},
            f"'all', schedule 'hourly', key 'cron': '{cron}' is not a cron expression: write five fields, such as",
        )
        for cron in ("61 * * * *", "0 * * * * 30")
    ),
    (
        {"schedules.0.cron": "0 0 30 2 *"},
        "'all', schedule 'hourly', key 'cron': '0 0 30 2 *' names a day that never comes: write one that its month has",
    ),
    ({"schedules.0.slug": ...}, "'all', schedule '1', key 'slug': missing: add it"),
    ({"schedules.0.slug": "by-hand-1"}, "'all', schedule 'by-hand-1', key 'slug': 'by-hand-1' is not a name: write"),
    ({"schedules.0.slug": "daily"}, "'all', schedule 'daily', key 'slug': listed twice: rename one"),
    ({"name": "split"}, "'split', key 'name': listed twice for its flow: rename one"),
    (
        {"parameters.options.platforms": ["google"]},
        "'all', schedule 'daily', key 'parameters': 'options' replaces the deployment's and leaves out platforms: ",
    ),
    (
        {"schedules.1.parameters.options": {"mode": "some"}},
        "'all', schedule 'daily', key 'parameters': they do not fit the flow 'example' (",
    ),
]
"""Changes to the deployment `all`, by path (an ellipsis removes it), and the start of the line."""


@pytest.mark.parametrize(("changes", "line"), PROBLEMS)
def test_each_problem_is_a_line_with_deployment_key_and_remedy(
    tmp_path: Path, changes: dict[str, Any], line: str
) -> None:
    document = timetable()
    for path, value in changes.items():
        *parents, last = path.split(".")
        part = document["deployments"][0]
        for parent in parents:
            part = part[int(parent) if parent.isdigit() else parent]
        if value is ...:
            del part[last]
        else:
            part[last] = value
    (found,) = problems(write(tmp_path, document))
    assert found.startswith(f"prefect.yaml: deployment {line}")


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    document = timetable()
    document["deployments"][0]["nme"] = 1
    document["deployments"][1]["schedules"][0]["cron"] = "soon"
    assert len(problems(write(tmp_path, document))) == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("name: [", "prefect.yaml is not YAML (while parsing a flow node expected the node content, but found"),
        (
            "a: 1\na: 2",
            "prefect.yaml is not YAML (the key 'a' comes twice in \"<unicode string>\", line 2, column 1",
        ),
        ("- 1", "prefect.yaml: Input should be a valid dictionary"),
        (
            "name: x\ndeployments: []",
            "prefect.yaml: key 'deployments': none is listed, so all of ours would be deleted",
        ),
    ],
)
def test_a_file_that_is_not_a_timetable_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text(text)
    assert problems(path)[0].startswith(line)


def test_an_absent_timetable_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.yaml"
    assert problems(path) == [f"{path} cannot be read (No such file or directory): check the timetable's path"]
