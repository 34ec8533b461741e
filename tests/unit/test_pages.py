"""Charts and pages: pictures are complete, and names never become markup."""

import base64
from xml.etree import ElementTree as ET

import pytest

from sivera import pages

COLOURS = {"로그": "#0072b2", "b & <c>": "#d55e00"}


def svg_of(markdown: str) -> ET.Element:
    encoded = markdown.partition("](data:image/svg+xml;base64,")[2].removesuffix(")")
    return ET.fromstring(base64.b64decode(encoded, validate=True))  # noqa: S314 - our own


def test_a_chart_shows_its_bars_parts_and_numbers_in_any_language() -> None:
    counts = {("11-24 14:00#x", "로그"): 7, ("11-24 14:00#y", "로그"): 3, ("11-24 14:00#y", "b & <c>"): 2}
    bar = ["11-24 14:00#x", "11-24 14:00#y"]
    picture = svg_of(pages.bars("계정", counts, bar=bar, part=COLOURS, count="계정 수"))
    shown = [element.text or "" for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert shown.count("11-24 14:00") == 2
    assert {"로그", "b & <c>", "계정 수", "0", "7"} <= set(shown)
    assert {"#0072b2", "#d55e00", "white"} <= {element.get("fill") for element in picture.iter()}
    assert pages.bars("T", {("a", "로그"): 0}, bar=["a"], part=COLOURS, count="n") == "### T\n\nNone."


def test_any_chart_can_become_a_picture_in_markdown() -> None:
    chart = {"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": {"field": "x"}}}
    image = pages.picture("A [big] point", chart)
    assert image.startswith(r"### A [big] point" + "\n\n" + r"![A \[big\] point](data:image/svg+xml;base64,")
    assert svg_of(image).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize(
    "name",
    [
        "a|b",
        "<img src=x>",
        "[x](javascript:y)",
        "`c`",
        "&lt;",
        "*b*",
        "a\nb",
        "a@evil.example",
        "https://evil.example",
        "www.evil.example",
        "![i](x)",
    ],
)
def test_a_name_stays_plain_text_in_one_cell(name: str) -> None:
    line = pages.table(["name", "n"], [(name, 1234567)]).splitlines()[-1]
    cell, number = line.removeprefix("| ").removesuffix(" |").rsplit(" | ", 1)
    assert number == "1,234,567"
    assert cell.replace("\\", "") == name.replace("\n", " ")
    assert all(cell[at - 1] == "\\" for at, character in enumerate(cell) if character in "|<>[]()`&*@:!.")


def test_a_long_list_names_the_artifact_with_the_rest() -> None:
    title, table, more = pages.listing("Failed", ["n"], [(n,) for n in range(25)], "job-failures")
    assert (title, len(table.splitlines())) == ("### Failed", 2 + pages.MOST_ROWS)
    assert more == "And 5 more in the artifact `job-failures`."
