"""The secrets of an installation: the variables that an operator sets, and the blocks made of them."""

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from dotenv.parser import parse_stream
from prefect.blocks.core import Block
from pydantic import SecretStr, ValidationError

from blocks.alert_channels import document_name, to_block
from blocks.cron_secret import CronSecret
from blocks.database import to_connector
from blocks.monitoring import DeadMansPing, ResultWebhook
from blocks.names import BACKUPS, CRON_SECRET, DATABASE, DEAD_MANS_PING, REPORTS, RESULT_WEBHOOK, TOKEN_KEY
from blocks.platform_app import PlatformApp
from blocks.storage import Storage
from blocks.token_key import TokenKey
from sivera.alerts.options import Channel
from sivera.errors import ConfigurationError
from sivera.files import read_secret_file
from sivera.settings import UNSAVED_VARIABLES
from sivera.values import PlatformName

PREFIX = "SIVERA_"

FROM_FILE = "_FILE"
"""A variable with this suffix names a file with the value, as is usual for container secrets."""


@dataclass(frozen=True)
class Document:
    """A block document, and the variables that its fields come from.

    A field's variable is the document's `variable`, an underscore and the field's name. A document with a single value
    has the field ''. `make` makes the block of the values by field. The fields in `objects` are JSON objects.
    """

    name: str
    variable: str
    make: Callable[[dict[str, Any]], Block]
    fields: Collection[str] = ("",)
    objects: tuple[str, ...] = ()

    def variable_of(self, field: str) -> str:
        """Return the name of a field's variable."""
        return f"{PREFIX}{self.variable}_{field}".rstrip("_").upper()


def _documents(jobs: Collection[str]) -> Iterator[Document]:
    yield Document(DATABASE, "database_url", lambda given: to_connector(given[""]))
    for platform in PlatformName:
        yield Document(platform, platform, lambda given: PlatformApp(**given), PlatformApp.model_fields)
    yield Document(TOKEN_KEY, "token_key", lambda given: TokenKey(**given), ("keys", "current"), ("keys",))
    yield Document(CRON_SECRET, "cron_secret", lambda given: CronSecret(current=given[""]))
    for place in (REPORTS, BACKUPS):
        yield Document(place, place, lambda given: Storage(**given), ("url", "options"), ("options",))
    yield Document(RESULT_WEBHOOK, "result_webhook", lambda given: ResultWebhook(**given), ("url", "secret"))
    # Names of variables have no dashes or slashes: only `sivera monitor set-ping` sets the ping of a single deployment.
    urls = {job.replace("-", "_"): job for job in jobs if "/" not in job}
    yield Document(
        DEAD_MANS_PING, "pings", lambda given: DeadMansPing(urls={urls[job]: url for job, url in given.items()}), urls
    )
    for channel in Channel:
        yield Document(document_name(channel), f"alerts_{channel.value}", partial(_channel_block, channel))


def _channel_block(channel: Channel, given: dict[str, Any]) -> Block:
    return to_block(channel, SecretStr(given[""]))


def read_environment(environment: Mapping[str, str], jobs: Collection[str]) -> dict[str, Block]:
    """Return the blocks that variables beginning with `SIVERA_` describe, by document name; `jobs` can have pings.

    ConfigurationError has a line for each value that does not fit, and does not show the value.
    """
    known = _variables(jobs)
    # A name that is not similar to one of ours belongs to another program.
    ours = {
        name: value
        for name, value in environment.items()
        if name.startswith(PREFIX) and (_stem(name) in known or nearest(name, known, cutoff=0.85))
    }
    return _to_blocks(ours, jobs, [])


def read_text(text: str, jobs: Collection[str]) -> dict[str, Block]:
    """Return the blocks that a file of `NAME=VALUE` lines describes; see `read_environment` for errors."""
    bindings = list(parse_stream(io.StringIO(text)))
    problems = [f"line {one.original.line}: write it as NAME=VALUE" for one in bindings if one.error]
    given = {one.key: one.value or "" for one in bindings if one.key and not one.key.startswith("PREFECT_")}
    return _to_blocks(given, jobs, problems)


def _to_blocks(given: Mapping[str, str], jobs: Collection[str], problems: list[str]) -> dict[str, Block]:
    values = _values(given, _variables(jobs), problems)
    blocks = {}
    for document in _documents(jobs):
        fields = {field: value for field in document.fields if (value := values.get(document.variable_of(field)))}
        if fields:
            try:
                blocks[document.name] = document.make(_decoded(document, fields))
            except ValidationError as error:
                problems += _explained(document, error)
            except ConfigurationError as error:
                problems.append(f"{document.variable_of('')}: {error}")
    if problems:
        raise ConfigurationError("\n".join(sorted(set(problems))))
    return blocks


def _values(given: Mapping[str, str], known: Collection[str], problems: list[str]) -> dict[str, str]:
    """Return the value of each variable, read from its file if it has one, and add errors to `problems`."""
    values: dict[str, str] = {}
    for name, value in given.items():
        stem = _stem(name)
        if name in UNSAVED_VARIABLES:
            continue
        if stem not in known:
            problems.append(_unknown(name, known))
        elif name == stem:
            values[name] = value
        elif stem in given:
            problems.append(f"{name}: {stem} is set as well: keep one of them")
        else:
            try:
                values[stem] = read_secret_file(Path(value), name).get_secret_value()
            except ConfigurationError as error:
                problems.append(str(error))
    return values


def _decoded(document: Document, fields: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = dict(fields)
    for field in document.objects:
        if field in found:
            with suppress(ValueError):  # the block refuses a value that is not an object
                found[field] = json.loads(found[field])
    return found


def _explained(document: Document, error: ValidationError) -> Iterator[str]:
    for detail in error.errors(include_input=False, include_context=False, include_url=False):
        field = str(next(iter(detail["loc"]), ""))
        variable = document.variable_of(field if field in document.fields else "")
        if detail["type"] == "missing":
            yield f"{variable}: it is missing"
        elif field in document.objects:
            yield f"{variable}: write it as a JSON object"
        else:
            yield f"{variable}: {detail['msg'].removeprefix('Value error, ')}"


def _variables(jobs: Collection[str]) -> set[str]:
    return {document.variable_of(field) for document in _documents(jobs) for field in document.fields}


def _stem(name: str) -> str:
    return name.removesuffix(FROM_FILE)


def nearest(name: str, names: Collection[str], cutoff: float = 0.7) -> str | None:
    """Return the most similar name, if one is similar enough."""
    return next(iter(get_close_matches(name, names, 1, cutoff)), None)


def _unknown(name: str, names: Collection[str]) -> str:
    like = nearest(name, names)
    return f"{name}: there is no such name" + (f"; is it {like}?" if like else "")
