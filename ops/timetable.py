"""Read and check prefect.yaml before anything is changed.

Prefect ignores a misspelt key, and a wrong parameter shows only when the run crashes. Here each problem is one line
that names the deployment, the key and the remedy.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import available_timezones

import yaml
from prefect.client.schemas.schedules import CronSchedule
from prefect.flows import Flow, load_flow_from_entrypoint
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from blocks.names import LOCKS, TAG, WORK_POOL, lock_name
from sivera.errors import ConfigurationError
from sivera.values import PlatformName

BY_HAND = "by-hand-"
"""The prefix of the slugs of schedules that an operator made in the UI."""

CRON_FIELDS = 5

T = TypeVar("T")


def _check(is_right: Callable[[Any], bool], message: str) -> AfterValidator:
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
    return len(value.split()) == CRON_FIELDS


def _is_name(value: str) -> bool:
    return re.fullmatch(r"[a-z0-9][a-z0-9-]*", value) is not None and not value.startswith(BY_HAND)


def _is_module_path(value: str) -> bool:
    return "." in value and ":" not in value and "/" not in value


def _is_timezone(value: str) -> bool:
    return value in available_timezones()


NAME = _check(_is_name, f"'{{}}' is not a name: write lower-case letters, digits and dashes, not '{BY_HAND}' first")
CRON = _check(_is_cron, "'{}' is not a cron expression: write five fields, such as '0 * * * *'")
TIMEZONE = _check(_is_timezone, "'{}' is not a time zone: write an IANA name, such as UTC or Europe/Berlin")
ENTRYPOINT = _check(_is_module_path, "'{}' is not a module's flow: write it like flows.sync_campaigns.sync_campaigns")
OUR_POOL = _check(lambda name: name == WORK_POOL, f"'{{}}' is not our work pool: write {WORK_POOL}")
OUR_TAG = _check(lambda tags: TAG in tags, f"the tag '{TAG}' is missing: add it, pruning and automations need it")
EMPTY = _check(lambda steps: not steps, "not empty: write [], because the flows are installed beside the worker")
NOT_EMPTY = _check(bool, "none is listed, so all of ours would be deleted: list one")


class Entry(BaseModel):
    """A part of the file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Schedule(Entry):
    """When a deployment runs, and with which parameters in place of the deployment's."""

    slug: Annotated[str, NAME]
    cron: Annotated[str, CRON]
    timezone: Annotated[str, TIMEZONE]
    active: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)


class ConcurrencyLimit(Entry):
    """How many runs of a deployment may run at once, and what happens to one more."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]
    grace_period_seconds: int = Field(ge=60, le=86_400)


class WorkPool(Entry):
    """Where a deployment runs."""

    name: Annotated[str, OUR_POOL]
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict)


class Deployment(Entry):
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


class Timetable(Entry):
    """The whole file."""

    name: str
    prefect_version: str | None = Field(default=None, alias="prefect-version")
    definitions: Any = None
    pull: Annotated[tuple[Any, ...], EMPTY]
    deployments: Annotated[tuple[Deployment, ...], NOT_EMPTY]


def find_timetable() -> Path:
    """Return the path of prefect.yaml: beside this file in an installed package, else at the checkout's root."""
    packaged = Path(__file__).with_name("prefect.yaml")
    return packaged if packaged.exists() else Path(__file__).parents[1] / "prefect.yaml"


def read_timetable(path: Path) -> tuple[Timetable, Mapping[str, Flow[..., Any]]]:
    """Read and check the file; return it with the flow of each entrypoint.

    Raises:
        ConfigurationError: With one line for each problem.
    """
    raw = _parse(path)
    try:
        timetable = Timetable.model_validate(raw)
    except ValidationError as error:
        raise _refusal(path, [_explain(detail, raw) for detail in error.errors()]) from None
    flows: dict[str, Flow[..., Any]] = {}
    problems = list(_duplicates(timetable))
    for deployment in timetable.deployments:
        try:
            flow = flows.setdefault(deployment.entrypoint, _load(deployment.entrypoint))
        except ConfigurationError as error:
            problems.append(f"deployment '{deployment.name}', key 'entrypoint': {error}")
        else:
            problems += _check_parameters(deployment, flow)
    if problems:
        raise _refusal(path, problems)
    return timetable, flows


def locks_of(flow_name: str, parameters: Mapping[str, Any]) -> frozenset[str]:
    """Return the locks that a run of a flow takes with these parameters: its job's, of the platforms they name."""
    of_flow = frozenset(LOCKS) & {flow_name, *(lock_name(flow_name, platform) for platform in PlatformName)}
    options = parameters.get("options")
    platforms = options.get("platforms", ()) if isinstance(options, Mapping) else ()
    return of_flow & {f"{flow_name}-{platform}" for platform in platforms} or of_flow


def _parse(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        raw = yaml.safe_load(text)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): check the timetable's path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "not UTF-8"
        raise ConfigurationError(f"{path.name}{line}: not YAML ({reason}): fix it there") from None
    if not isinstance(raw, dict):
        raise _refusal(path, ["the file is not a mapping: it begins with 'name: sivera-jobs'"])
    if "prefect.blocks" in text or "prefect.variables" in text:
        # Prefect fills in such a template when it deploys, and keeps the secret in plain text on the deployment.
        raise _refusal(path, ["a template of a block or variable would be kept in plain text: load it in the flow"])
    return raw


def _load(entrypoint: str) -> Flow[..., Any]:
    try:
        return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    except Exception as error:  # noqa: BLE001 - importing a module can raise anything
        raise ConfigurationError(
            f"'{entrypoint}' cannot be loaded ({type(error).__name__}: {_one_line(error)}): "
            "name a flow's module and function, and install the package"
        ) from None


def _check_parameters(deployment: Deployment, flow: Flow[..., Any]) -> Iterator[str]:
    place = f"deployment '{deployment.name}'"
    if problem := _misfit(flow, deployment.parameters):
        yield f"{place}, key 'parameters': {problem}"
        return
    for schedule in deployment.schedules:
        key = f"{place}, schedule '{schedule.slug}', key 'parameters'"
        if problem := _misfit(flow, deployment.parameters | schedule.parameters):
            yield f"{key}: {problem}"
        for name, value in schedule.parameters.items():
            replaced = deployment.parameters.get(name)
            if not isinstance(value, dict) or not isinstance(replaced, dict):
                continue
            if lost := sorted(replaced.keys() - value.keys()):
                yield f"{key}: '{name}' replaces the deployment's and leaves out {', '.join(lost)}: repeat it there"


def _misfit(flow: Flow[..., Any], parameters: dict[str, Any]) -> str | None:
    try:
        flow.validate_parameters(parameters)
    except Exception as error:  # noqa: BLE001 - Prefect raises several, and so can a model's validators
        return f"they do not fit the flow '{flow.name}' ({_one_line(error)}): see its options"
    return None


def _duplicates(timetable: Timetable) -> Iterator[str]:
    for _, name in _repeated([(deployment.entrypoint, deployment.name) for deployment in timetable.deployments]):
        yield f"deployment '{name}', key 'name': listed twice for its flow: give one another name"
    for deployment in timetable.deployments:
        for slug in _repeated([schedule.slug for schedule in deployment.schedules]):
            yield f"deployment '{deployment.name}', schedule '{slug}', key 'slug': listed twice: give one another slug"


def _repeated(names: Sequence[T]) -> list[T]:
    return [name for name, times in Counter(names).items() if times > 1]


def _explain(detail: Mapping[str, Any], raw: Any) -> str:
    """Return one of pydantic's errors as a line that names deployment, schedule and key."""
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
    return f"{', '.join(places)}: {message}"


def _refusal(path: Path, problems: Sequence[str]) -> ConfigurationError:
    return ConfigurationError("\n".join(f"{path.name}: {problem}" for problem in problems))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
