"""The `sivera` command, for tests."""

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.cli import main
from tests.consents import Person
from tests.ops.commands import Answer, Sivera
from tests.prefect_server import free_port


@pytest.fixture
def sivera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Sivera]:
    """Runs the command in an empty folder; no secret of its standard input may be in what it says."""
    before, on_sigterm = os.environ.copy(), signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str | None = None) -> Answer:
        monkeypatch.setattr("sys.stdin", None if stdin is None else io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        answer = Answer(ended.value.code, *capsys.readouterr())
        assert "Traceback" not in answer.err
        assert not [word for word in (stdin or "").split() if word in answer.out + answer.err]
        return answer

    yield run
    os.environ.clear()
    os.environ.update(before)
    signal.signal(signal.SIGTERM, on_sigterm)


@pytest.fixture
def person() -> Person:
    """Who sits at the browser of this machine."""
    return Person()


@pytest.fixture
def redirect() -> str:
    """A redirect to a free port of this machine."""
    return f"http://127.0.0.1:{free_port()}/back"
