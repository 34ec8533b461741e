"""Places for files, as blocks."""

from pathlib import Path

import pytest
from prefect.types import SecretDict
from pydantic import ValidationError

from blocks.storage import Storage
from sivera.errors import ConfigurationError


def test_its_files_lie_below_its_place(tmp_path: Path) -> None:
    filesystem = Storage(url=f"file://{tmp_path}/한글 폴더").get_filesystem()
    filesystem.pipe("a/b.csv", b"1")
    assert (tmp_path / "한글 폴더" / "a" / "b.csv").read_bytes() == b"1"
    assert filesystem.find("/") == ["a/b.csv"]


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
