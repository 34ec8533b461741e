"""The pages of runs in the UI, as Markdown: tables, and charts drawn without a browser and without a network."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sivera.values import PlatformName, one_line

WIDTH = 510
"""The width of the bars in pixels: with its axis, a chart then fills the UI's column on a usual screen."""
MOST_ROWS = 20
"""Longer lists are in the artifact beside the page."""

OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
"""Colours that people with a colour vision deficiency can tell apart (Okabe and Ito, 2008)."""

PLATFORM_COLOURS = dict(zip(PlatformName, OKABE_ITO, strict=False))

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&:@-]|(?<=\w)\.(?=[^\W\d]))")


def escape(text: object) -> str:
    """Escape a text for Markdown: names are written by people whom we do not know."""
    return _SPECIAL.sub(r"\\\1", " ".join(one_line(str(text)).split()))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; columns of numbers are aligned to the right."""
    found = [list(row) for row in rows]
    right = [bool(found) and all(isinstance(row[at], int) for row in found) for at in range(len(columns))]
    lines = [[escape(name) for name in columns], ["--:" if flush else "---" for flush in right]]
    lines += [[f"{cell:,}" if isinstance(cell, int) else escape(cell) for cell in row] for row in found]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def listing(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], whole: str = "") -> list[str]:
    """Return a titled table of the first rows and a line that says where the rest is; nothing for no rows."""
    if not rows:
        return []
    more = [f"And {len(rows) - MOST_ROWS:,} more in the artifact `{whole}`."] if len(rows) > MOST_ROWS else []
    return [f"### {title}", table(columns, rows[:MOST_ROWS]), *more]


def page(job: str, sentence: str, *parts: str) -> str:
    """Return the page of a run: how it ended, the parts, and its chapter of the guide."""
    return "\n\n".join((f"## {job}", f"{escape(sentence)}.", *parts, f"What to do: `docs/operations.md#{job}`."))


def bars(
    title: str,
    counts: Mapping[tuple[str, str], float],
    *,
    bar: Sequence[str],
    part: Mapping[str, str] | Mapping[PlatformName, str],
    count: str,
    horizontal: bool = False,
) -> str:
    """Return stacked bars as a picture within Markdown.

    `counts` has the length of each part, by the names of bar and part. `bar` names the bars in order; what follows a
    `#` is not shown, so that bars may share a name. `part` has the parts in order with their colours, `count` what is
    counted.
    """
    if not any(counts.values()):
        return f"### {title}\n\nNone."
    ranks = {name: rank for rank, name in enumerate(part)}
    rows = [{"bar": b, "part": p, "count": n, "rank": ranks[p]} for (b, p), n in counts.items()]
    angle = 0 if horizontal else _angle(len(bar))
    names = {"title": None, "labelExpr": "split(datum.value, '#')[0]", "labelAngle": angle}
    along = {"field": "bar", "type": "nominal", "sort": list(bar), "scale": {"domain": list(bar)}, "axis": names}
    numbers = {"title": count, "tickMinStep": 1, "format": ",d"}
    amount = {"field": "count", "type": "quantitative", "axis": numbers}
    colour = {"domain": list(part), "range": list(part.values())}
    legend = {"orient": "top"}
    chart = {
        "data": {"values": rows},
        "mark": "bar",
        "encoding": {
            "y" if horizontal else "x": along,
            "x" if horizontal else "y": amount,
            "color": {"field": "part", "type": "nominal", "title": None, "legend": legend, "scale": colour},
            "order": {"field": "rank", "type": "quantitative"},
        },
        "width": WIDTH,
        "height": 28 * len(bar) if horizontal else 200,
    }
    return picture(title, chart)


def _angle(bars: int) -> int:
    # In degrees: the more bars there are, the steeper, so that names do not overlap.
    return -40 if bars <= 20 else -65


CONFIG: dict[str, Any] = {
    # The UI is light or dark, and a picture cannot know which: on white it is readable in both.
    "background": "white",
    "padding": 12,
    "font": "system-ui, sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {"labelFontSize": 12, "columnPadding": 16},
    # A label of each mark for screen readers, which never see into an image: a third of the size.
    "aria": False,
}
"""The look of a chart. The browser that shows it has the fonts, also for Korean."""


def picture(title: str, chart: Mapping[str, Any]) -> str:
    """Return a titled chart of Vega-Lite as a picture within Markdown."""
    return f"### {title}\n\n{to_markdown_image(to_svg(chart), escape(title))}"


def to_svg(chart: Mapping[str, Any]) -> str:
    """Draw a chart of Vega-Lite as an SVG document for use within HTML. It may fetch nothing."""
    import vl_convert  # noqa: PLC0415 - takes half a second and 80 MB for the first chart

    svg: str = vl_convert.vegalite_to_svg({**chart, "config": CONFIG}, allowed_base_urls=[])
    return svg


def to_markdown_image(svg: str, alt: str) -> str:
    """Return an SVG document as an image of Markdown, with all of it in the URL; `alt` says what it shows."""
    data = base64.b64encode(svg.encode()).decode()
    words = " ".join(alt.split()).replace("[", "(").replace("]", ")")
    return f"![{words}](data:image/svg+xml;base64,{data})"
