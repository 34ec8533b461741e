"""Places for files, as blocks."""

from pathlib import Path

import pytest
from prefect.types import SecretDict
from pydantic import ValidationError

from blocks.storage import Storage
from sivera.errors import ConfigurationError
from sivera.files import whole_file


def test_its_files_lie_below_its_place(tmp_path: Path) -> None:
    options = SecretDict({"auto_mkdir": True})
    filesystem = Storage(url=f"file://{tmp_path}/한글 폴더", options=options).get_filesystem()
    filesystem.pipe("a/b.csv", b"1")
    assert (tmp_path / "한글 폴더" / "a" / "b.csv").read_bytes() == b"1"
    assert filesystem.find("/") == ["a/b.csv"]


def test_what_it_keeps_on_the_machine_is_nobody_elses_to_read(tmp_path: Path) -> None:
    filesystem = Storage(url=f"file://{tmp_path}/kept/reports").get_filesystem()
    with whole_file(filesystem, "team/2026/a.csv") as file:
        file.write(b"1")
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"kept": 0o700, "reports": 0o700, "team": 0o700, "2026": 0o700, "a.csv": 0o600}


def test_a_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    filesystem = Storage(url=f"file://{tmp_path}").get_filesystem()
    filesystem.pipe("a.csv", b"before")

    def fail_half_way() -> None:
        with whole_file(filesystem, "a.csv") as file:
            file.write(b"af")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.csv", b"before")]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("/var/lib/reports", "names no place"),
        ("s3://", "names no place"),
        ("s3://key:s3cret@bucket/reports", "holds credentials"),
    ],
)
def test_a_url_that_will_not_do_is_refused_without_showing_it(url: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence) as error:
        Storage(url=url)
    assert "s3cret" not in str(error.value)


def test_a_kind_that_is_unknown_is_named_without_its_options() -> None:
    storage = Storage(url="nosuch://place/reports", options=SecretDict({"secret": "s3cret"}))
    with pytest.raises(ConfigurationError, match="'nosuch://place/reports' cannot be reached") as error:
        storage.get_filesystem()
    assert "s3cret" not in str(error.value)
