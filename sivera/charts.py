"""Charts as SVG, drawn without a browser and without a network, and as pictures within Markdown.

Altair takes half a second to import: import it where a chart is made, not at the top of a module.
"""

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altair import TopLevelMixin

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
"""The look of a chart, unless the chart says otherwise. The browser that shows it has the fonts, also for Korean."""


def to_svg(chart: "TopLevelMixin | dict[str, Any]") -> str:
    """Draw a chart of Altair, or one of Vega-Lite, as an SVG document for use within HTML. It may fetch nothing."""
    import vl_convert  # noqa: PLC0415 - takes half a second and 80 MB for the first chart

    drawn = chart if isinstance(chart, dict) else chart.to_dict()
    drawn["config"] = CONFIG | drawn.get("config", {})
    svg: str = vl_convert.vegalite_to_svg(drawn, allowed_base_urls=[])
    return svg


def to_markdown_image(svg: str, alt: str) -> str:
    """Return an SVG document as an image of Markdown, with all of it in the URL; `alt` says what it shows."""
    data = base64.b64encode(svg.encode()).decode()
    words = " ".join(alt.split()).replace("[", "(").replace("]", ")")
    return f"![{words}](data:image/svg+xml;base64,{data})"
