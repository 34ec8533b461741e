"""Links to the Prefect UI: nothing else builds one, so none shows a password."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator

from sivera.values import Value


def without_credentials(url: str) -> str:
    """Return a URL without user, password and query, also where the password holds what should be percent-encoded."""
    return re.sub(r"^([a-z]+://)?.*@", r"\1", url, flags=re.IGNORECASE).partition("?")[0]


def hide_credentials(text: str) -> str:
    """Return a text in which no URL holds a user and a password: Prefect's errors repeat the address of its server."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


class Links(Value):
    """Pages of the Prefect UI; empty if the server has no UI."""

    ui_url: Annotated[str, AfterValidator(without_credentials)] = ""

    def run(self, run_id: UUID | None) -> str:
        """Return the page of a run, or that of all runs."""
        return self.page(f"runs/flow-run/{run_id}" if run_id else "runs")

    def page(self, path: str) -> str:
        """Return the page of a path."""
        return f"{self.ui_url.rstrip('/')}/{path}" if self.ui_url else ""


NO_LINKS = Links()
