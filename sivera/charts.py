"""Charts as SVG, drawn without a browser and without a network."""

import altair as alt
import vl_convert


def to_svg(chart: alt.TopLevelMixin) -> str:
    """Return a chart as an SVG document that can stand within HTML."""
    svg: str = vl_convert.vegalite_to_svg(chart.to_dict())
    return svg
