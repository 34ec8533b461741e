"""Read and check prefect.yaml before anything is changed.

Prefect ignores a misspelt key, and a wrong parameter shows only when the run crashes. Here each problem is one line
that names the deployment, the key and the remedy.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import available_timezones

import yaml
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.server.schemas.schedules import CronSchedule
from pydantic import AfterValidator, Field, ValidationError
from yaml.constructor import ConstructorError

from blocks.names import TAG, WORK_POOL
from sivera.errors import ConfigurationError
from sivera.values import Value

BY_HAND = "by-hand-"
"""The slug prefix of schedules that an operator made in the UI."""

T = TypeVar("T")
Flows = Mapping[str, Flow[..., Any]]
"""Flows by entrypoint."""


def _check(is_right: Callable[[Any], object], message: str) -> AfterValidator:
    def check(value: T) -> T:
        if not is_right(value):
            raise ValueError(message.format(value))
        return value

    return AfterValidator(check)


def _is_cron(value: str) -> bool:
    try:
        CronSchedule(cron=value)
    except ValidationError:
        return False
    return len(value.split()) == 5


def _has_a_next_time(cron: str) -> bool:
    try:
        return bool(asyncio.run(CronSchedule(cron=cron).get_dates(n=1)))
    except ValueError:  # of croniter, after it has looked for years
        return False


NAME = _check(
    lambda value: re.fullmatch(r"[a-z0-9][a-z0-9-]*", value) and not value.startswith(BY_HAND),
    f"'{{}}' is not a name: write lower-case letters, digits and dashes, not '{BY_HAND}' first",
)
CRON = _check(_is_cron, "'{}' is not a cron expression: write five fields, such as '0 * * * *'")
SOME_DAY = _check(_has_a_next_time, "'{}' names a day that never comes: write one that its month has")
TIMEZONE = _check(
    available_timezones().__contains__,  # reads a folder tree, so it is called only once
    "'{}' is not a time zone: write an IANA name, such as UTC or Europe/Berlin",
)
ENTRYPOINT = _check(
    lambda value: re.fullmatch(r"\w+(\.\w+)+", value),
    "'{}' is not a module's flow: write it like flows.sync_campaigns.sync_campaigns",
)
OUR_POOL = _check(lambda name: name == WORK_POOL, f"'{{}}' is not our work pool: write {WORK_POOL}")
OUR_TAG = _check(lambda tags: TAG in tags, f"the tag '{TAG}' is missing: add it, pruning and automations need it")
NOT_EMPTY = _check(bool, "none is listed, so all of ours would be deleted: list at least one")


class Loader(yaml.SafeLoader):
    """Refuses duplicate keys. PyYAML silently keeps only the last of two equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping without duplicate keys."""
        lines = {str(key.value): key.start_mark for key, _ in node.value}
        for name in _repeated(str(key.value) for key, _ in node.value):
            raise ConstructorError(problem=f"the key '{name}' comes twice", problem_mark=lines[name])
        return super().construct_mapping(node, deep)


class Schedule(Value):
    """When a deployment runs, and the parameters that replace the deployment's."""

    slug: Annotated[str, NAME]
    cron: Annotated[str, CRON, SOME_DAY]
    timezone: Annotated[str, TIMEZONE]
    active: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)


class ConcurrencyLimit(Value):
    """How many runs of a deployment may be active at once, and what happens to the next one."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]
    grace_period_seconds: int = Field(ge=60, le=86_400)


class WorkPool(Value):
    """Where a deployment runs."""

    name: Annotated[str, OUR_POOL]
    work_queue_name: str = "default"
    job_variables: dict[str, Any] = Field(default_factory=dict)


class Deployment(Value):
    """A flow with its schedules."""

    name: Annotated[str, NAME]
    entrypoint: Annotated[str, ENTRYPOINT]
    description: str
    tags: Annotated[tuple[str, ...], OUR_TAG]
    parameters: dict[str, Any] = Field(default_factory=dict)
    schedules: tuple[Schedule, ...] = ()
    concurrency_limit: ConcurrencyLimit
    work_pool: WorkPool
    paused: bool = False


class Timetable(Value):
    """The whole file. `pull` is empty because the flows are installed beside the worker."""

    name: str
    prefect_version: str | None = Field(default=None, alias="prefect-version")
    definitions: Any = None
    pull: tuple[()] = ()
    deployments: Annotated[tuple[Deployment, ...], NOT_EMPTY]


def find_timetable() -> Path:
    """Return the path of prefect.yaml: beside this file in an installed package, at the root of a checkout."""
    packaged = Path(__file__).with_name("prefect.yaml")
    return packaged if packaged.exists() else Path(__file__).parents[1] / "prefect.yaml"


def read_timetable(path: Path | None = None) -> tuple[Timetable, Flows]:
    """Read and check a timetable, by default the package's; return it with its flows."""
    path = path or find_timetable()
    try:
        raw = Loader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): check the timetable's path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name} is not YAML ({_one_line(error)}): fix it there") from None
    try:
        timetable = Timetable.model_validate(raw)
    except ValidationError as error:
        raise _invalid(path, [_explain(detail, raw) for detail in error.errors()]) from None
    flows: dict[str, Flow[..., Any]] = {}
    problems = list(_duplicates(timetable))
    for deployment in timetable.deployments:
        place = f"deployment '{deployment.name}'"
        try:
            flow: Flow[..., Any] = load_flow_from_entrypoint(deployment.entrypoint, use_placeholder_flow=False)
        except Exception as error:  # noqa: BLE001 - importing a module can raise anything
            problems.append(
                f"{place}, key 'entrypoint': '{deployment.entrypoint}' cannot be loaded ({type(error).__name__}: "
                f"{_one_line(error)}): name a flow's module and function, and install the package"
            )
        else:
            flows[deployment.entrypoint] = flow
            problems += [f"{place}, {problem}" for problem in _check_parameters(deployment, flow)]
    if problems:
        raise _invalid(path, problems)
    return timetable, flows


def full_names(timetable: Timetable, flows: Flows) -> dict[str, Deployment]:
    """Return the deployments by 'flow/deployment', in the order of the file."""
    return {f"{flows[each.entrypoint].name}/{each.name}": each for each in timetable.deployments}


def _check_parameters(deployment: Deployment, flow: Flow[..., Any]) -> Iterator[str]:
    if problem := _misfit(flow, deployment.parameters):
        yield f"key 'parameters': {problem}"
        return
    for schedule in deployment.schedules:
        key = f"schedule '{schedule.slug}', key 'parameters'"
        if problem := _misfit(flow, deployment.parameters | schedule.parameters):
            yield f"{key}: {problem}"
        for name, value in schedule.parameters.items():
            replaced = deployment.parameters.get(name)
            if isinstance(value, dict) and isinstance(replaced, dict) and (lost := sorted(replaced.keys() - value)):
                yield f"{key}: '{name}' replaces the deployment's and leaves out {', '.join(lost)}: repeat it there"


def _misfit(flow: Flow[..., Any], parameters: dict[str, Any]) -> str | None:
    try:
        flow.validate_parameters(parameters)
    except Exception as error:  # noqa: BLE001 - Prefect raises several, and so can a model's validators
        return f"they do not fit the flow '{flow.name}' ({_one_line(error)}): see its options"
    return None


def _duplicates(timetable: Timetable) -> Iterator[str]:
    for _, name in _repeated((each.entrypoint, each.name) for each in timetable.deployments):
        yield f"deployment '{name}', key 'name': listed twice for its flow: rename one"
    for deployment in timetable.deployments:
        for slug in _repeated(schedule.slug for schedule in deployment.schedules):
            yield f"deployment '{deployment.name}', schedule '{slug}', key 'slug': listed twice: rename one"


def _repeated(names: Iterable[T]) -> list[T]:
    return [name for name, times in Counter(names).items() if times > 1]


def _explain(detail: Mapping[str, Any], raw: Any) -> str:
    """Turn an error of pydantic into a line that names the deployment, schedule and key."""
    entry, keys, places = raw, list(detail["loc"]), []
    for kind, label in (("deployments", "name"), ("schedules", "slug")):
        if keys[:1] == [kind] and len(keys) > 1:
            entry = entry[kind][keys[1]]
            name = entry.get(label) if isinstance(entry, dict) else None
            places.append(f"{kind.removesuffix('s')} '{name or keys[1] + 1}'")
            keys = keys[2:]
    if keys:
        places.append(f"key '{'.'.join(str(key) for key in keys)}'")
    message = {
        "extra_forbidden": "no such key: correct its spelling, or remove it",
        "missing": "missing: add it",
    }.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    return ": ".join(filter(None, (", ".join(places), message)))


def _invalid(path: Path, problems: Sequence[str]) -> ConfigurationError:
    return ConfigurationError("\n".join(f"{path.name}: {problem}" for problem in problems))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
