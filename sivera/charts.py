"""Charts as SVG, drawn without a browser and without a network, and as pictures within Markdown."""

import base64
from collections.abc import Mapping
from typing import Any

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
