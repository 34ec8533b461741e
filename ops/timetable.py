"""The timetable, prefect.yaml: read, and checked before anything is changed.

Prefect ignores a misspelt key of a deployment, and a wrong parameter shows when the run crashes; here each is a line
that names the deployment, the key and the mend.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
"""The start of the slugs of schedules that an operator made in the UI."""

CRON_FIELDS = 5

T = TypeVar("T")


def _check_cron(value: str) -> str:
    try:
        CronSchedule(cron=value)
    except ValidationError:
        valid = False
    else:
        valid = len(value.split()) == CRON_FIELDS
    if not valid:
        raise ValueError(f"'{value}' is not a cron expression: write five fields, such as '0 * * * *'")
    return value


def _check_timezone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"'{value}' is not a time zone: write an IANA name, such as UTC or Europe/Berlin")
    return value


def _check_entrypoint(value: str) -> str:
    if "." not in value or ":" in value or "/" in value:
        raise ValueError(f"'{value}' is not a module's flow: write it like flows.sync_campaigns.sync_campaigns")
    return value


def _check_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", value) or value.startswith(BY_HAND):
        raise ValueError(f"'{value}' is not a name: write lower-case letters, digits and dashes, not '{BY_HAND}' first")
    return value


def _check_work_pool(value: str) -> str:
    if value != WORK_POOL:
        raise ValueError(f"'{value}' is not our work pool: write {WORK_POOL}")
    return value


def _check_tags(value: tuple[str, ...]) -> tuple[str, ...]:
    if TAG not in value:
        raise ValueError(f"the tag '{TAG}' is missing: add it, for pruning and the automations go by it")
    return value


def _check_pull(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if value:
        raise ValueError("not empty: write [], for what runs is what is installed beside the worker")
    return value


def _check_any(value: tuple[T, ...]) -> tuple[T, ...]:
    if not value:
        raise ValueError("none is listed, and all of ours would be deleted: list one")
    return value


class Entry(BaseModel):
    """A part of the file; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Name = Annotated[str, AfterValidator(_check_name)]


class Schedule(Entry):
    """When a deployment runs, and with which parameters in place of the deployment's."""

    slug: Name
    cron: Annotated[str, AfterValidator(_check_cron)]
    timezone: Annotated[str, AfterValidator(_check_timezone)]
    active: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)


class ConcurrencyLimit(Entry):
    """How many runs of a deployment there may be at once, and what becomes of one more."""

    limit: int = Field(ge=1)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]
    grace_period_seconds: int = Field(ge=60, le=86_400)


class WorkPool(Entry):
    """Where a deployment runs."""

    name: Annotated[str, AfterValidator(_check_work_pool)]
    work_queue_name: str | None = None
    job_variables: dict[str, Any] = Field(default_factory=dict)


class Deployment(Entry):
    """A flow with a timetable."""

    name: Name
    entrypoint: Annotated[str, AfterValidator(_check_entrypoint)]
    description: str
    tags: Annotated[tuple[str, ...], AfterValidator(_check_tags)]
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
    pull: Annotated[tuple[Any, ...], AfterValidator(_check_pull)]
    deployments: Annotated[tuple[Deployment, ...], AfterValidator(_check_any)]


def find_timetable() -> Path:
    """Return the path of prefect.yaml: beside this file in an installed package, else at the checkout's root."""
    packaged = Path(__file__).with_name("prefect.yaml")
    return packaged if packaged.exists() else Path(__file__).parents[1] / "prefect.yaml"


def read_timetable(path: Path) -> tuple[Timetable, Mapping[str, Flow[..., Any]]]:
    """Read and check the file; return it with the flow of each entrypoint.

    Raises:
        ConfigurationError: With one line for each thing that is wrong.
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
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): name the timetable's path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "not UTF-8"
        raise ConfigurationError(f"{path.name}{where}: not YAML ({reason}): mend it there") from None
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
    where = f"deployment '{deployment.name}'"
    if problem := _misfit(flow, deployment.parameters):
        yield f"{where}, key 'parameters': {problem}"
        return
    for schedule in deployment.schedules:
        place = f"{where}, schedule '{schedule.slug}', key 'parameters'"
        if problem := _misfit(flow, {**deployment.parameters, **schedule.parameters}):
            yield f"{place}: {problem}"
        for name, value in schedule.parameters.items():
            replaced = deployment.parameters.get(name)
            if (
                isinstance(value, dict)
                and isinstance(replaced, dict)
                and (lost := sorted(replaced.keys() - value.keys()))
            ):
                yield f"{place}: '{name}' replaces the deployment's and leaves out {', '.join(lost)}: repeat it there"


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
        "extra_forbidden": "no such key: mend its spelling, or take it out",
        "missing": "missing: add it",
    }.get(detail["type"], detail["msg"].removeprefix("Value error, "))
    return f"{', '.join(places)}: {message}"


def _refusal(path: Path, problems: Sequence[str]) -> ConfigurationError:
    return ConfigurationError("\n".join(f"{path.name}: {problem}" for problem in problems))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
