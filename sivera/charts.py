"""Charts as SVG, drawn without a browser and without a network, and as pictures within Markdown.

Altair takes half a second to import: import it where a chart is made, not at the top of a module.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altair import TopLevelMixin

CONFIG: dict[str, Any] = {
    # The UI is light or dark, and a picture cannot tell which: on white it can be read in both.
    "background": "white",
    "padding": 12,
    "font": "system-ui, sans-serif",
    "axis": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
    "legend": {"labelFontSize": 12, "columnPadding": 16},
    # A label of each mark for readers of screens, which never see into an image: a third of the size.
    "aria": False,
}
"""How every chart looks that does not say it itself; the browser that shows it has the fonts, also those of Korean."""


def to_svg(chart: "TopLevelMixin") -> str:
    """Draw a chart as an SVG document, which can stand within HTML."""
    return fill_in(compile_chart(chart), {})


def compile_chart(chart: "TopLevelMixin") -> dict[str, Any]:
    """Return a chart as a specification of Vega. It takes as long as drawing: do it once for charts that are alike.

    The first chart of a process takes about half a second and 80 MB: the parts of Vega are loaded for it.
    """
    import vl_convert  # noqa: PLC0415

    drawn = chart.to_dict()
    drawn["config"] = CONFIG | drawn["config"]
    compiled: dict[str, Any] = vl_convert.vegalite_to_vega(drawn)
    return compiled


def fill_in(compiled: dict[str, Any], named: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Draw a chart that was compiled as an SVG document, which can stand within HTML.

    Args:
        compiled: The chart; it is not changed.
        named: The rows of its named data.
    """
    import vl_convert  # noqa: PLC0415

    data = [each | ({"values": named[each["name"]]} if each["name"] in named else {}) for each in compiled["data"]]
    # Nothing that a chart names may be fetched.
    svg: str = vl_convert.vega_to_svg(compiled | {"data": data}, allowed_base_urls=[])
    return svg


def to_markdown_image(svg: str, alt: str) -> str:
    """Return an SVG document as an image of Markdown, with all of it in the URL; `alt` says what it shows."""
    data = base64.b64encode(svg.encode()).decode()
    words = " ".join(alt.split()).replace("[", "(").replace("]", ")")
    return f"![{words}](data:image/svg+xml;base64,{data})"
