"""Problems of a timetable are found before anything is changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.timetable import find_timetable, read_timetable
from sivera.errors import ConfigurationError
from tests.ops.timetables import ALL, timetable, write

Bend = Callable[[dict[str, Any], list[dict[str, Any]]], object]
"""Bends a deployment, whose schedules are the second argument."""


def problems(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read_timetable(path)
    return str(caught.value).splitlines()


def test_a_good_file_is_read_with_its_flows(tmp_path: Path) -> None:
    read, flows = read_timetable(write(tmp_path, timetable()))
    assert [deployment.name for deployment in read.deployments] == ["all", "split"]
    assert flows["tests.ops.example_flows.example"].name == "example"


def test_two_flows_may_have_a_deployment_of_the_same_name(tmp_path: Path) -> None:
    other = ALL | {"entrypoint": "tests.ops.example_flows.other_example", "parameters": {}, "schedules": []}
    read, _ = read_timetable(write(tmp_path, timetable(ALL, other)))
    assert [deployment.name for deployment in read.deployments] == ["all", "all"]


def case(bend: Bend, where: str, message: str) -> tuple[Bend, str]:
    return bend, f"prefect.yaml: deployment {where}: {message}"


@pytest.mark.parametrize(
    ("bend", "line"),
    [
        case(
            lambda all_, _: all_.update(concurrency_limits=1),
            "'all', key 'concurrency_limits'",
            "no such key: correct its spelling, or remove it",
        ),
        case(
            lambda all_, _: all_["work_pool"].update(jobvariables={}),
            "'all', key 'work_pool.jobvariables'",
            "no such key: correct its spelling, or remove it",
        ),
        case(lambda all_, _: all_.pop("concurrency_limit"), "'all', key 'concurrency_limit'", "missing: add it"),
        case(
            lambda all_, _: all_["concurrency_limit"].update(grace_period_seconds=10),
            "'all', key 'concurrency_limit.grace_period_seconds'",
            "Input should be greater than or equal to 60",
        ),
        case(
            lambda all_, _: all_.update(tags=["mine"]),
            "'all', key 'tags'",
            "the tag 'sivera' is missing: add it, pruning and automations need it",
        ),
        case(
            lambda all_, _: all_["work_pool"].update(name="mine"),
            "'all', key 'work_pool.name'",
            "'mine' is not our work pool: write sivera",
        ),
        case(
            lambda all_, _: all_.update(entrypoint="flows/example.py:example"),
            "'all', key 'entrypoint'",
            "'flows/example.py:example' is not a module's flow: write it like flows.sync_campaigns.sync_campaigns",
        ),
        case(
            lambda all_, _: all_.update(entrypoint="tests.ops.absent_flows.example"),
            "'all', key 'entrypoint'",
            "'tests.ops.absent_flows.example' cannot be loaded (ModuleNotFoundError: No module named "
            "'tests.ops.absent_flows'): name a flow's module and function, and install the package",
        ),
        case(
            lambda all_, _: all_.update(entrypoint="tests.ops.example_flows.ExampleOptions"),
            "'all', key 'entrypoint'",
            "'tests.ops.example_flows.ExampleOptions' cannot be loaded (MissingFlowError: Function with name "
            "'ExampleOptions' is not a flow. Make sure that it is decorated with '@flow'.): "
            "name a flow's module and function, and install the package",
        ),
        case(
            lambda all_, _: all_.update(parameters={"option": {}}, schedules=[]),
            "'all', key 'parameters'",
            "they do not fit the flow 'example' (Function expects parameters ['options'] but was provided with "
            "parameters ['option']): see its options",
        ),
        case(
            lambda _, schedules: schedules[0].update(timezon="UTC"),
            "'all', schedule 'hourly', key 'timezon'",
            "no such key: correct its spelling, or remove it",
        ),
        case(
            lambda _, schedules: schedules[0].pop("timezone"),
            "'all', schedule 'hourly', key 'timezone'",
            "missing: add it",
        ),
        case(
            lambda _, schedules: schedules[0].update(timezone="Europe/Berlinn"),
            "'all', schedule 'hourly', key 'timezone'",
            "'Europe/Berlinn' is not a time zone: write an IANA name, such as UTC or Europe/Berlin",
        ),
        case(
            lambda _, schedules: schedules[0].update(cron="61 * * * *"),
            "'all', schedule 'hourly', key 'cron'",
            "'61 * * * *' is not a cron expression: write five fields, such as '0 * * * *'",
        ),
        case(
            lambda _, schedules: schedules[0].update(cron="0 * * * * 30"),
            "'all', schedule 'hourly', key 'cron'",
            "'0 * * * * 30' is not a cron expression: write five fields, such as '0 * * * *'",
        ),
        case(lambda _, schedules: schedules[0].pop("slug"), "'all', schedule '1', key 'slug'", "missing: add it"),
        case(
            lambda _, schedules: schedules[0].update(slug="by-hand-1"),
            "'all', schedule 'by-hand-1', key 'slug'",
            "'by-hand-1' is not a name: write lower-case letters, digits and dashes, not 'by-hand-' first",
        ),
        case(
            lambda _, schedules: schedules[0].update(slug="daily"),
            "'all', schedule 'daily', key 'slug'",
            "listed twice: give one another slug",
        ),
        case(
            lambda all_, _: all_.update(name="split"),
            "'split', key 'name'",
            "listed twice for its flow: give one another name",
        ),
        case(
            lambda all_, _: all_["parameters"]["options"].update(platforms=["google"]),
            "'all', schedule 'daily', key 'parameters'",
            "'options' replaces the deployment's and leaves out platforms: repeat it there",
        ),
    ],
)
def test_a_problem_is_a_line_with_deployment_key_and_remedy(tmp_path: Path, bend: Bend, line: str) -> None:
    document = timetable()
    bend(document["deployments"][0], document["deployments"][0]["schedules"])
    assert problems(write(tmp_path, document)) == [line]


def test_options_that_do_not_fit_the_flow_name_the_option(tmp_path: Path) -> None:
    document = timetable()
    document["deployments"][0]["schedules"][1]["parameters"] = {"options": {"mode": "some", "platfroms": []}}
    (line,) = problems(write(tmp_path, document))
    assert line.startswith(
        "prefect.yaml: deployment 'all', schedule 'daily', key 'parameters': they do not fit the flow"
    )
    assert "options.mode" in line
    assert "options.platfroms" in line


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    document = timetable()
    document["deployments"][0]["nme"] = 1
    document["deployments"][1]["schedules"][0]["cron"] = "soon"
    assert len(problems(write(tmp_path, document))) == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "name: [",
            "prefect.yaml, line 1: not YAML (expected the node content, but found '<stream end>'): fix it there",
        ),
        ("- 1", "prefect.yaml: the file is not a mapping: it begins with 'name: sivera-jobs'"),
        ("name: x\npull: []", "prefect.yaml: key 'deployments': missing: add it"),
        (
            "name: x\npull: []\ndeployments: []",
            "prefect.yaml: key 'deployments': none is listed, so all of ours would be deleted: list one",
        ),
        ("name: x\npull: []\ndeployments: [7]", "prefect.yaml: deployment '1': Input should be a valid dictionary"),
        (
            "name: '{{ prefect.blocks.secret.mine }}'",
            "prefect.yaml: a template of a block or variable would be kept in plain text: load it in the flow",
        ),
    ],
)
def test_a_file_that_is_not_a_timetable_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "prefect.yaml"
    path.write_text(text)
    assert problems(path)[0].startswith(line)


def test_pull_must_be_listed(tmp_path: Path) -> None:
    document = timetable()
    # Without it, Prefect stores the folder from which somebody deploys.
    del document["pull"]
    assert problems(write(tmp_path, document)) == ["prefect.yaml: key 'pull': missing: add it"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent.yaml"
    assert problems(path) == [f"{path} cannot be read (No such file or directory): check the timetable's path"]


def test_the_timetable_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_timetable() == Path(__file__).parents[2] / "prefect.yaml"
