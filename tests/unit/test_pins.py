"""Each pin has a reason: docs/decisions/0002 says what was tried. These tests fail when it is time to try again."""

from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.version import Version

TRIED_WITH_PREFECT = Version("3.9.1")


def requirement(name: str, of: str) -> Requirement:
    (found,) = {one for one in map(Requirement, requires(of) or []) if one.name == name and not one.marker}
    return found


def test_the_pins_were_checked_with_this_prefect() -> None:
    assert Version(version("prefect")) == TRIED_WITH_PREFECT, (
        f"Prefect is {version('prefect')} now: run the whole suite with it, try the newest SQLAlchemy, loosen the pins "
        "that can go, and change TRIED_WITH_PREFECT"
    )


def test_prefect_allows_a_newer_sqlalchemy_than_we_do() -> None:
    assert "2.1.9" in requirement("sqlalchemy", "prefect").specifier, "Prefect pins it itself: so ours can go"
    assert "2.1.9" not in requirement("sqlalchemy", "sivera-jobs").specifier


def test_prefect_bounds_fastapi_itself() -> None:
    assert "0.151" not in requirement("fastapi", "prefect").specifier, "with 0.151 its API refuses its own client"
