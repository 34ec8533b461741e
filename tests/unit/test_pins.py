"""The pins in pyproject.toml that a running Prefect server needs: these tests fail when one may be able to go.

Each was found by trying, so each says what to try: loosen the pin, `uv lock --upgrade-package NAME`, and run all tests,
the end-to-end test among them.
"""

from importlib.metadata import requires, version

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

TRIED_WITH_PREFECT = Version("3.8.8")


def requirement(package: str, of: str) -> Requirement:
    """What a distribution asks of a package, extras left aside."""
    found = [Requirement(line) for line in requires(of) or ()]
    return next(
        each for each in found if each.name.lower() == package and not (each.marker and "extra" in str(each.marker))
    )


@pytest.mark.parametrize(
    ("package", "too_new", "reason"),
    [
        ("fastapi", "0.151", "the server answers `limit: null` of its own client with 422, and `prefect deploy` fails"),
        ("sqlalchemy", "2.1", "the scheduler fails in every loop, and no scheduled run is ever created"),
    ],
)
def test_prefect_still_allows_a_version_that_it_does_not_work_with(package: str, too_new: str, reason: str) -> None:
    assert Version(too_new) in requirement(package, "prefect").specifier, (
        f"Prefect itself now refuses {package} {too_new}: the pin is no longer needed, take it out"
    )
    assert Version(too_new) not in requirement(package, "sivera-jobs").specifier, (
        f"{package} must stay below {too_new} ({reason})"
    )


def test_the_pins_were_tried_with_this_prefect() -> None:
    assert Version(version("prefect")) == TRIED_WITH_PREFECT, (
        f"Prefect is {version('prefect')} now: try it with the newest fastapi and sqlalchemy, "
        "loosen the pins that can go, and set TRIED_WITH_PREFECT"
    )


def test_prefect_3_9_cannot_be_installed_yet() -> None:
    assert Version("3.9") not in requirement("prefect", "sivera-jobs").specifier
    assert Version(version("certifi")) < Version("2026.10.19"), (
        "certifi is new enough for Prefect 3.9 now: try prefect>=3.9"
    )
