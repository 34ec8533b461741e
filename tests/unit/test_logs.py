"""Log lines with fields, and the settings."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from sivera import logs
from sivera.errors import ConfigurationError
from sivera.settings import Settings, read_settings

logger = logging.getLogger("sivera.test")


@pytest.fixture(autouse=True)
def of_a_run() -> Iterator[None]:
    """The run that every line belongs to."""
    before = logs._run_fields
    logs.identify(lambda: {"job": "sync-campaigns", "run_id": "r1"})
    yield
    logs.identify(before)


def test_fields_follow_the_message_and_are_quoted_if_necessary(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sivera.test")
    logs.log(logger, logging.DEBUG, "Below the level")
    logs.log(logger, logging.INFO, "Account ended", account_id=17, name='한빛 "A"\n100% b=c', empty="", none=None)
    assert caplog.messages == [
        r'Account ended account_id=17 name="한빛 \"A\"\n100% b=c" empty="" none=None job=sync-campaigns run_id=r1'
    ]


def test_json_has_each_field(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sivera.test")
    logs.log(logger, logging.WARNING, "Account failed", account_id=17, name="한빛\n%s", at=datetime(2026, 11, 20))  # noqa: DTZ001
    logging.getLogger("other").error("It %s", "broke", exc_info=ConfigurationError("no such thing"))
    ours, other = (json.loads(line) for record in caplog.records for line in [logs.JsonFormatter().format(record)])
    assert datetime.fromisoformat(ours.pop("time")).utcoffset() is not None
    assert ours == {
        "level": "WARNING",
        "logger": "sivera.test",
        "message": "Account failed",
        "account_id": 17,
        "name": "한빛\n%s",
        "at": "2026-11-20 00:00:00",
        "job": "sync-campaigns",
        "run_id": "r1",
    }
    assert (other["level"], other["message"], other["run_id"]) == ("ERROR", "It broke", "r1")
    assert "ConfigurationError: no such thing" in other["traceback"]


def test_settings_may_have_any_case_and_an_invalid_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings().log_level, Settings().log_format) == ("INFO", "text")
    monkeypatch.setenv("SIVERA_LOG_LEVEL", "warning")
    monkeypatch.setenv("SIVERA_LOG_FORMAT", "JSON")
    assert (read_settings().log_level, read_settings().log_format) == ("WARNING", "json")
    monkeypatch.setenv("SIVERA_LOG_LEVEL", "chatty")
    with pytest.raises(ConfigurationError, match=r"^SIVERA_LOG_LEVEL: Input should be 'DEBUG'"):
        read_settings()


@pytest.mark.parametrize("name", ["SIVERA_SPOOL_DIR", "SIVERA_STORAGE_DIR"])
def test_a_folder_is_the_same_for_every_process(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    field = name.removeprefix("SIVERA_").lower()
    default = getattr(Settings(), field)
    assert default.is_absolute()
    for value, folder in (("/var/lib/sivera", Path("/var/lib/sivera")), ("~/a", Path.home() / "a"), ("", default)):
        monkeypatch.setenv(name, value)
        assert getattr(read_settings(), field) == folder
    for value in ("spool", "./spool", "../spool"):
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match=f"^{name}: write it as an absolute path"):
            read_settings()
