"""The page that a run leaves in the UI."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from tasks import resources


class Summary(Protocol):
    """What a run did."""

    @property
    def sentence(self) -> str:
        """The run in one sentence."""
        ...


SummaryT = TypeVar("SummaryT", bound=Summary)


@task(name="show-summary", cache_policy=NO_CACHE)
def show_summary(
    job: str,
    summary: SummaryT,
    page: Callable[[str, SummaryT, list[str]], str],
    charts: Callable[[Session], list[str]],
) -> None:
    """Show what a run did as a page with its figures and charts.

    A flow asks for this task's state: a picture that cannot be drawn leaves a red task, not a red run.

    Args:
        job: The job's name.
        summary: What the run did.
        page: Makes the page of the job's name, the summary and the charts.
        charts: Draws the charts of what is in the database.
    """
    try:
        with Session(resources.engine()) as session:
            drawn = charts(session)
    except SQLAlchemyError as error:
        drawn = [f"No charts: the database failed ({type(error).__name__})."]
    create_markdown_artifact(page(job, summary, drawn), key=f"{job}-summary", description=summary.sentence)
