"""Charts as SVG, drawn without a browser and without a network, and as pictures within Markdown.

Altair takes half a second to import: import it where a chart is made, not at the top of a module.
"""

import base64
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altair import Chart

CONFIG: dict[str, Any] = {
    # The UI is light or dark, and a picture cannot tell which: on white it can be read in both.
    "background": "white",
    "padding": 12,
    "font": "system-ui, sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {"labelFontSize": 12},
    # A label of each mark for readers of screens, which never see into an image: a third of the size.
    "aria": False,
}
"""How every chart looks; the browser that shows it has the fonts, also those of Korean."""


def to_svg(chart: "Chart") -> str:
    """Draw a chart.

    The first chart of a process takes about half a second and 80 MB: the parts of Vega are loaded for it.
    """
    svg = StringIO()
    chart.configure(**CONFIG).save(svg, format="svg")
    return svg.getvalue()


def to_markdown_image(svg: str, alt: str) -> str:
    """Return an SVG as a picture within Markdown, which needs nothing from elsewhere; `alt` says what it shows."""
    encoded = base64.b64encode(svg.encode()).decode("ascii")
    return f"![{alt}](data:image/svg+xml;base64,{encoded})"
