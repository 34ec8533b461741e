"""Flows that the tests deploy; nobody runs them."""

from typing import Literal

from prefect import flow
from pydantic import BaseModel, ConfigDict


class ExampleOptions(BaseModel):
    """Options like those of a job."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["incremental", "full"] = "incremental"
    platforms: tuple[str, ...] = ()


@flow(name="example")
def example(options: ExampleOptions) -> None:
    """Do nothing."""
