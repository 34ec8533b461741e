"""Places for files, as blocks."""

from pathlib import Path

import pytest
from prefect.types import SecretDict

from blocks.storage import Storage
from sivera.errors import ConfigurationError
from sivera.files import whole_file


def test_files_are_below_the_place_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    filesystem = Storage(url=f"file://{tmp_path}/한글 폴더/reports").get_filesystem()
    with whole_file(filesystem, "team/2026/a.csv") as file:
        file.write(b"1")
    assert filesystem.find("/") == ["team/2026/a.csv"]
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"한글 폴더": 0o700, "reports": 0o700, "team": 0o700, "2026": 0o700, "a.csv": 0o600}


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    filesystem = Storage(url=f"file://{tmp_path}").get_filesystem()
    filesystem.pipe("a.csv", b"before")

    def fail_half_way() -> None:
        with whole_file(filesystem, "a.csv") as file:
            file.write(b"af")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.csv", b"before")]


def test_an_unknown_kind_is_named_without_its_options() -> None:
    storage = Storage(url="nosuch://place/reports", options=SecretDict({"secret": "s3cret"}))
    with pytest.raises(ConfigurationError, match="'nosuch://place/reports' cannot be reached") as error:
        storage.get_filesystem()
    assert "s3cret" not in str(error.value)
