"""What a check finds, and how it is printed."""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import TypeVar

from ops.commands.tables import printable
from sivera.errors import ConfigurationError, SiveraError
from sivera.values import Value

SHOWN = 10
"""Of a longer list, the text says only how many more there are."""

T = TypeVar("T")


class Verdict(StrEnum):
    """How bad it is. A check is skipped if what it needs is down; the check of that says so."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    SKIPPED = "skipped"


class Finding(Value):
    """What a check found: a sentence, and the remedy if something is wrong."""

    verdict: Verdict
    text: str
    remedy: str = ""


class Check(Finding):
    """A finding with the name of its check."""

    name: str


class Report(Value):
    """All checks, and the worst verdict as the exit code."""

    exit_code: int
    checks: tuple[Check, ...]


class Skipped(SiveraError):
    """A check needs something that is not there; the message names it."""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(verdict=Verdict.OK, text=text)


def warning(text: str, remedy: str) -> Finding:
    """Somebody should have a look; the jobs run."""
    return Finding(verdict=Verdict.WARNING, text=text, remedy=remedy)


def fault(text: str, remedy: str) -> Finding:
    """A job does not run, or not as it should."""
    return Finding(verdict=Verdict.FAULT, text=text, remedy=remedy)


def explain(errors: Iterable[ConfigurationError]) -> Finding:
    """Return errors, each worded as 'what is wrong: the remedy', as one fault that names each remedy once."""
    wrong, remedies = [], []
    for error in errors:
        what, _, remedy = "; ".join(str(error).splitlines()).rpartition(": ")
        wrong.append(what or remedy)
        remedies += [remedy] if what else []
    return fault("; ".join(wrong), "; ".join(dict.fromkeys(remedies)))


def given(part: T | None, what: str) -> T:
    """Return a part of the installation; `what` names it for a person.

    Raises:
        Skipped: It is not there.
    """
    if part is None:
        raise Skipped(f"needs {what}")
    return part


def exit_code(verdicts: Collection[Verdict]) -> int:
    """Return 0 if all is well, 1 if the worst is a warning, and 2 if there is a fault."""
    return 2 if Verdict.FAULT in verdicts else int(Verdict.WARNING in verdicts)


def few(items: Sequence[object]) -> str:
    """Return the first of them as a text, and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(map(str, items[:SHOWN])) + more


def line(check: Check, width: int) -> str:
    """Return a check as a line for a person, its name padded to a width."""
    verdict = check.verdict.value if check.verdict in (Verdict.OK, Verdict.SKIPPED) else check.verdict.value.upper()
    remedy = f" Remedy: {check.remedy}." if check.remedy else ""
    return printable(f"{verdict:<8} {check.name:<{width}} {check.text}.{remedy}")
