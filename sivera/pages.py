"""The Markdown page of a run in the UI: tables, and charts drawn without a browser or a network."""

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sivera.values import PlatformName, one_line

WIDTH = 510
"""Pixels for the bars. With its axis, a chart then fills the UI's column on a usual screen."""

MOST_ROWS = 20
"""Longer lists are cut, and the page names the artifact with the whole list."""

OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999")
"""Colours that people with a colour vision deficiency can tell apart (Okabe and Ito, 2008)."""

PLATFORM_COLOURS = dict(zip(PlatformName, OKABE_ITO, strict=False))

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~&:@-]|(?<=\w)\.(?=[^\W\d]))")


def escape(text: object) -> str:
    """Escape a text for Markdown: names come from strangers."""
    return _SPECIAL.sub(r"\\\1", " ".join(one_line(str(text)).split()))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table with its columns of integers aligned to the right."""
    found = [list(row) for row in rows]
    right = [bool(found) and all(isinstance(row[at], int) for row in found) for at in range(len(columns))]
    lines = [[escape(name) for name in columns], ["--:" if flush else "---" for flush in right]]
    lines += [[f"{cell:,}" if isinstance(cell, int) else escape(cell) for cell in row] for row in found]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def listing(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], whole: str = "") -> list[str]:
    """Return a titled table of the first rows and where to find the others; nothing if there are no rows."""
    if not rows:
        return []
    more = [f"And {len(rows) - MOST_ROWS:,} more in the artifact `{whole}`."] if len(rows) > MOST_ROWS else []
    return [f"### {title}", table(columns, rows[:MOST_ROWS]), *more]


def page(job: str, sentence: str, *parts: str) -> str:
    """Return the page of a run: how it ended, the given parts, and a link to the guide."""
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
    """Return a chart of stacked bars.

    `counts` maps the names of a bar and a part to the length of that part. `bar` has the bars in order; text from `#`
    on is not shown, so bars can share a label. `part` has the parts in order with their colours. `count` is the title
    of the axis.
    """
    if not any(counts.values()):
        return f"### {title}\n\nNone."
    ranks = {name: rank for rank, name in enumerate(part)}
    rows = [{"bar": b, "part": p, "count": n, "rank": ranks[p]} for (b, p), n in counts.items()]
    # Many names overlap unless they are steep.
    angle = 0 if horizontal else -40 if len(bar) <= 20 else -65
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


CONFIG: dict[str, Any] = {
    # A white background is readable in both the light and the dark UI.
    "background": "white",
    "padding": 12,
    "font": "system-ui, sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {"labelFontSize": 12, "columnPadding": 16},
    # Screen readers cannot see into an image, so labels for them would only make it larger.
    "aria": False,
}
"""How charts look. The browser brings the fonts, including Korean ones."""


def picture(title: str, chart: Mapping[str, Any]) -> str:
    """Draw a titled Vega-Lite chart as a Markdown image with the whole SVG in its URL. Drawing fetches nothing."""
    import vl_convert  # noqa: PLC0415 - takes half a second and 80 MB for the first chart

    svg = vl_convert.vegalite_to_svg({**chart, "config": CONFIG}, allowed_base_urls=[])
    data = base64.b64encode(svg.encode()).decode()
    return f"### {title}\n\n![{escape(title)}](data:image/svg+xml;base64,{data})"
