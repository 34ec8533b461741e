"""Charts as SVG: drawn in this process, with neither a browser nor a network."""

import base64

import altair as alt
import vl_convert


def to_svg(chart: alt.TopLevelMixin) -> str:
    """Draw a chart as an SVG document, which can stand within HTML."""
    # The deployment's process, not the chart, decides what may be fetched: nothing.
    return vl_convert.vegalite_to_svg(chart.to_json(), allowed_base_urls=[])


def to_markdown_image(svg: str, alt: str) -> str:
    """Return an SVG document as an image of Markdown, with all of it in the URL; `alt` says what it shows."""
    data = base64.b64encode(svg.encode()).decode()
    words = " ".join(alt.split()).replace("[", "(").replace("]", ")")
    return f"![{words}](data:image/svg+xml;base64,{data})"
