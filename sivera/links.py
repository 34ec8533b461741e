"""Links to the Prefect UI. They are built only here, so that none shows a password."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator

from sivera.values import Value


def without_credentials(url: str) -> str:
    """Return a URL without user, password and query, even if the password is not percent-encoded."""
    return re.sub(r"^([a-z]+://)?.*@", r"\1", url, flags=re.IGNORECASE).partition("?")[0]


def hide_credentials(text: str) -> str:
    """Remove user and password from the URLs in a text, such as a Prefect error that repeats its server's address."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


class Links(Value):
    """Builds links to pages of the Prefect UI; they are empty if the server has no UI."""

    ui_url: Annotated[str, AfterValidator(without_credentials)] = ""

    def run(self, run_id: UUID | None) -> str:
        """Return the link to a run, or to the list of runs."""
        return self.page(f"runs/flow-run/{run_id}" if run_id else "runs")

    def page(self, path: str) -> str:
        """Return the link to a path of the UI."""
        return f"{self.ui_url.rstrip('/')}/{path}" if self.ui_url else ""


NO_LINKS = Links()
