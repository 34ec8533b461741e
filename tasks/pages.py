"""The pages and tables of a run in the UI."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from prefect.artifacts import Artifact, create_markdown_artifact, create_table_artifact
from prefect.client.schemas.objects import Artifact as StoredArtifact
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from sivera.database_errors import sentence
from tasks import resources
from tasks.naming import step

MOST_ROWS = 500
"""The most rows of a table: the Prefect UI pages through them, but loads them all at once."""


class Summary(Protocol):
    """What a run did."""

    @property
    def sentence(self) -> str:
        """The run in one sentence."""


SummaryT = TypeVar("SummaryT", bound=Summary)


@step("show-summary")
def show_summary(
    job: str,
    summary: SummaryT,
    page: Callable[[str, SummaryT, list[str]], str],
    charts: Callable[[Session], list[str]] | None,
) -> None:
    """Show what a run did as a page with figures and charts.

    Flows call this with `return_state`: if a chart cannot be drawn, the task is red but the run is not.
    """
    drawn: list[str] = []
    try:
        if charts:
            with Session(resources.engine()) as session:
                drawn = charts(session)
    except SQLAlchemyError as error:
        drawn = [f"No charts: {sentence(error)}."]
    create_markdown_artifact(page(job, summary, drawn), key=f"{job}-summary", description=summary.sentence)


def show_table(
    key: str, description: str, rows: Sequence[Mapping[str, object]], *, all_of_them: str = "", if_changed: bool = False
) -> None:
    """Show the first rows of a table as the artifact `key`, and how many there are if not all of them are shown.

    The command `all_of_them` prints all rows. With `if_changed`, nothing happens if it shows these rows already.
    """
    shown = [dict(row) for row in rows[:MOST_ROWS]]
    if if_changed and _is_shown(key, shown):
        return
    if len(rows) > MOST_ROWS:
        where = f"; `{all_of_them}` has them all" if all_of_them else ""
        description = f"{description} The first {MOST_ROWS} of {len(rows):,} are shown{where}."
    create_table_artifact(shown, key=key, description=description)


def _is_shown(key: str, rows: list[dict[str, object]]) -> bool:
    latest = Artifact.get(key)
    # `get` returns a coroutine only in asynchronous code.
    return isinstance(latest, StoredArtifact) and json.loads(str(latest.data)) == rows
