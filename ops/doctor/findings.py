"""What a check finds, and what that means for the exit code."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import TypeVar

from sivera.errors import SiveraError
from sivera.values import Value

SHOWN_IDS = 10
"""Of more, the text says only how many."""

T = TypeVar("T")


class Verdict(StrEnum):
    """How bad it is. What was skipped is neither well nor not: what it needs is, and says so itself."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


class Finding(Value):
    """What a check found: a sentence, and the mend where it is not well."""

    verdict: Verdict
    text: str
    mend: str = ""


class Check(Value):
    """What the check of a name found."""

    name: str
    verdict: Verdict
    text: str
    mend: str


class Skipped(SiveraError):
    """A check needs something that is not there; the message says what."""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(verdict=Verdict.OK, text=text)


def warning(text: str, mend: str) -> Finding:
    """Something needs a look; the jobs run."""
    return Finding(verdict=Verdict.WARNING, text=text, mend=mend)


def fault(text: str, mend: str) -> Finding:
    """A job does not run, or not as it should."""
    return Finding(verdict=Verdict.FAULT, text=text, mend=mend)


def given(part: T | None, what: str) -> T:
    """Return a part of the installation; `what` names it for a person.

    Raises:
        Skipped: It is not there.
    """
    if part is None:
        raise Skipped(f"needs {what}")
    return part


def exit_code(verdicts: Collection[Verdict]) -> int:
    """Return 0 where all is well, 1 where the worst is a warning, and 2 where there is a fault."""
    return 2 if Verdict.FAULT in verdicts else int(Verdict.WARNING in verdicts)


def few(items: Sequence[object]) -> str:
    """Return the first of them as a text, and how many more there are."""
    more = f" and {len(items) - SHOWN_IDS} more" if len(items) > SHOWN_IDS else ""
    return ", ".join(map(str, items[:SHOWN_IDS])) + more
