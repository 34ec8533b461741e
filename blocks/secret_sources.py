"""Reading secrets: from the environment, or from a text in either of two forms, the same variables or TOML."""

import io
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource

from blocks.secrets import PREFIX, Secrets
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError
from sivera.secret_files import read_secret_file
from sivera.settings import UNSAVED_VARIABLES

FROM_FILE = "_FILE"
"""Behind the name of a variable: it names a file that holds the value, as container secrets do."""

SAID = {"missing": "it is missing", "dict_type": "it is no table: in a variable, write it as a JSON object"}
"""Our words for mistakes that pydantic names."""


def read_environment(environment: Mapping[str, str], jobs: Collection[str]) -> Secrets:
    """Read the secrets that variables beginning with `SIVERA_` give.

    Args:
        environment: The variables.
        jobs: The names that pings may be for: jobs, and deployments as 'job/name'.

    Raises:
        ConfigurationError: Something does not fit; a line for each thing, without its value.
    """
    ours = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    # What resembles none of our names is somebody else's.
    unknown = {name for name in ours if not _is_known(name) and not nearest(name, _variables(), cutoff=0.85)}
    return _from_variables({name: value for name, value in ours.items() if name not in unknown}, jobs, [])


def read_text(text: str, jobs: Collection[str]) -> Secrets:
    """Read the secrets of a file or of standard input: variables as in the environment, or TOML.

    Raises:
        ConfigurationError: As of `read_environment`.
    """
    if re.search(rf"^\s*(export\s+)?{PREFIX}\w+\s*=", text, re.MULTILINE):
        bindings = list(parse_stream(io.StringIO(text)))
        problems = [f"line {one.original.line}: write it as NAME=VALUE" for one in bindings if one.error]
        return _from_variables({one.key: one.value or "" for one in bindings if one.key}, jobs, problems)
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Not `error` itself: it may quote the text.
        place = re.search(r"line \d+, column \d+|end of document", str(error))
        raise ConfigurationError(f"it is neither variables nor TOML: see {place[0] if place else 'its form'}") from None
    return _check(given, jobs, [], _dotted)


def _from_variables(given: Mapping[str, str], jobs: Collection[str], problems: list[str]) -> Secrets:
    known = {name: value for name, value in given.items() if _is_known(name)}
    problems += [_unknown(name, _variables()) for name in given if name not in known and not _is_of_others(name)]
    values = {name: value for name, value in known.items() if name.removesuffix(FROM_FILE) == name}
    for name in known.keys() - values.keys():
        stem = name.removesuffix(FROM_FILE)
        if stem in values:
            problems.append(f"{name}: {stem} is set as well: keep one of them")
            continue
        try:
            values[stem] = read_secret_file(Path(known[name]), name).get_secret_value()
        except ConfigurationError as error:
            problems.append(str(error))
    return _check(_Variables(Secrets, values)(), jobs, problems, _variable)


class _Variables(EnvSettingsSource):
    """pydantic's way from variables to fields, for variables that are given."""

    def __init__(self, settings_cls: type[BaseSettings], variables: Mapping[str, str]) -> None:
        self._given = {name.lower(): value for name, value in variables.items() if value}
        super().__init__(settings_cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        """Leave what is not JSON to the field, which says so as of any other mistake."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _check(
    given: Mapping[str, Any], jobs: Collection[str], problems: list[str], name_of: Callable[[tuple[str, ...]], str]
) -> Secrets:
    names = {name_of(path) for path in _paths()}
    try:
        secrets = Secrets(**given)
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_context=False, include_url=False):
            loc = tuple(str(part) for part in detail["loc"])
            if detail["type"] == "extra_forbidden":
                problems.append(_unknown(name_of(loc), names))
            else:
                name = next((name_of(loc[:end]) for end in (2, 1) if loc[:end] in set(_paths())), name_of(loc))
                said = SAID.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
                problems.append(f"{name_of(loc) if detail['type'] == 'missing' else name}: {said}")
    else:
        unknown = [job for job in secrets.pings or {} if job not in jobs]
        problems += [f"{name_of(('pings',))}: {_unknown(job, jobs)}" for job in unknown]
        if not problems:
            return secrets
    raise ConfigurationError("\n".join(sorted(set(problems))))


def _paths() -> Iterator[tuple[str, ...]]:
    """Yield where something may be written down: each field, and each field of a field."""
    for name, field in Secrets.model_fields.items():
        yield (name,)
        for kind in _models_in(field.annotation):
            yield from ((name, inner) for inner in kind.model_fields)
    yield from (("alerts", channel.value) for channel in Channel)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models_in(part)


def _variable(path: tuple[str, ...]) -> str:
    return PREFIX + "_".join(path).upper()


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(path)


def _variables() -> set[str]:
    return {_variable(path) for path in _paths()}


def _is_known(name: str) -> bool:
    stem = name.removesuffix(FROM_FILE)
    return stem in _variables() or stem.startswith(f"{PREFIX}PINGS_")


def _is_of_others(name: str) -> bool:
    return name.startswith("PREFECT_") or name in UNSAVED_VARIABLES


def nearest(name: str, names: Collection[str], cutoff: float = 0.7) -> str | None:
    """Return the name that resembles this one most, if any does."""
    return next(iter(get_close_matches(name, names, 1, cutoff)), None)


def _unknown(name: str, names: Collection[str]) -> str:
    like = nearest(name, names)
    return f"{name}: there is no such name" + (f"; is it {like}?" if like else "")
