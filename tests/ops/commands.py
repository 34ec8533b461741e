"""Runs the `sivera` command in the process of a test."""

import io
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import pytest

from ops.cli import main
from sandbox.tokens import Grant
from sivera.values import PlatformName
from tests.stage import Stage


def refusal(code: object, err: str) -> str:
    assert code in (1, 2)
    assert err.startswith("sivera: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    return err.removeprefix("sivera: ").removesuffix("\n")


class Answer(NamedTuple):
    code: object
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The line in which the command refused."""
        assert self.out == ""
        return refusal(self.code, self.err)


class Sivera(Protocol):
    def __call__(self, *arguments: str, stdin: str | IO[str] | None = None) -> Answer:
        """Run it with this standard input; None is a closed one."""
        ...


@contextmanager
def in_folder(folder: Path) -> Iterator[Sivera]:
    """Run commands in a folder, and undo their changes to this process."""
    before, where, on_sigterm = os.environ.copy(), Path.cwd(), signal.getsignal(signal.SIGTERM)
    os.chdir(folder)
    try:
        yield run
    finally:
        os.chdir(where)
        os.environ.clear()
        os.environ.update(before)
        signal.signal(signal.SIGTERM, on_sigterm)


def run(*arguments: str, stdin: str | IO[str] | None = None) -> Answer:
    """Run a command, and check that its output has no secret from its standard input."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(stdin) if isinstance(stdin, str) else stdin)
        patch.setattr("sys.stdout", out)
        patch.setattr("sys.stderr", err)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
    answer = Answer(ended.value.code, out.getvalue(), err.getvalue())
    assert "Traceback" not in answer.err
    secrets = stdin.split() if isinstance(stdin, str) else []
    assert not [secret for secret in secrets if secret in answer.out + answer.err]
    return answer


def pasted(stage: Stage, grant: Grant) -> str:
    """The token that a person has after a login."""
    tokens = stage.issue(grant)
    return (tokens.refresh_token or tokens.access_token).get_secret_value()


def add(platform: PlatformName, team: str = "Hanok", *more: str) -> list[str]:
    return ["credentials", "add", "--platform", platform.value, "--team", team, *more]
