"""What tests of the `sivera` command share."""

from typing import NamedTuple, Protocol

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
    """What a command said."""

    code: object
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line in which the command said why not."""
        assert self.out == ""
        return refusal(self.code, self.err)


class Sivera(Protocol):
    """Runs a command."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> Answer:
        """Run it with this as its standard input; None is a closed one."""
        ...


def pasted(stage: Stage, grant: Grant) -> str:
    """The one token that a person has after a login."""
    tokens = stage.issue(grant)
    return (tokens.refresh_token or tokens.access_token).get_secret_value()


def add(platform: PlatformName, team: str = "Hanok", *more: str) -> list[str]:
    return ["credentials", "add", "--platform", platform.value, "--team", team, *more]
