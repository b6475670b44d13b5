"""A profile as one self-contained HTML page: the roofline, and each layer's cycles by module and activity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from weft_hardware.isa import Queue
from weft_hardware.registers import Activity

from .extras import needs_extra
from .profile import Profile

COLOURS = {
    Activity.BUSY: "#2a6f4e",
    Activity.TOKEN: "#d98f2b",
    Activity.MEMORY: "#b8433a",
    Activity.QUEUE: "#7a5ea8",
    Activity.HAZARD: "#3f7fb5",
    Activity.IDLE: "#c9c9c9",
}


def require_plotly() -> None:
    """Find out before a long run whether there can be a page.

    Raises
    ------
    UsageError
        If plotly is not installed.
    """
    with needs_extra("report", "the HTML page"):
        import plotly.offline  # noqa: F401


def render(profile: Profile, title: str) -> str:
    """The page; it loads nothing from elsewhere. Needs plotly, see `require_plotly`."""
    from weft_explore.page.document import document, escaped, plotly_script

    # Figures take some HTML of what they are given, and names are the network's.
    profile = replace(profile, rows=tuple(replace(row, name=escaped(row.name)) for row in profile.rows))
    figures = [_roofline(profile)] + [_bars(profile, module) for module in Queue]
    parts = [figure.to_html(full_html=False, include_plotlyjs=False) for figure in figures]
    return document(title, "\n".join([f"<h1>{escaped(title)}</h1>", *parts]), scripts=[plotly_script()])


def _roofline(profile: Profile) -> Any:
    from plotly import graph_objects

    config = profile.config
    rows = [row for row in (*profile.rows, profile.total) if row.cycles and row.macs]
    points = [(row.intensity(), row.macs / row.cycles, row.name) for row in rows if row.cycles]
    ridge = config.macs / config.axi_bytes
    lowest = min([ridge / 16, *(x / 2 for x, _, _ in points if x)])
    highest = max([ridge * 16, *(2 * x for x, _, _ in points)])
    roof = graph_objects.Scatter(
        x=[lowest, ridge, highest],
        y=[lowest * config.axi_bytes, config.macs, config.macs],
        mode="lines",
        name=f"{config.axi_bytes} bytes a cycle, {config.macs} MACs a cycle",
    )
    layers = graph_objects.Scatter(
        x=[x for x, _, _ in points],
        y=[y for _, y, _ in points],
        text=[name for _, _, name in points],
        mode="markers+text",
        textposition="bottom right",
        name="layers",
    )
    figure = graph_objects.Figure([roof, layers])
    figure.update_layout(
        title="Roofline", xaxis_title="MACs a byte of DRAM traffic", yaxis_title="MACs a cycle", height=560
    )
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    return figure


def _bars(profile: Profile, module: Queue) -> Any:
    from plotly import graph_objects

    rows = [row for row in profile.rows if row.activity is not None]
    bars = [
        graph_objects.Bar(
            y=[row.name for row in rows],
            x=[(row.activity or {})[module].get(activity, 0) for row in rows],
            name=activity.name.lower(),
            orientation="h",
            marker_color=COLOURS[activity],
        )
        for activity in Activity
    ]
    figure = graph_objects.Figure(bars)
    figure.update_layout(
        title=f"{module.name.lower()}: cycles by what it did", barmode="stack", height=200 + 24 * len(rows)
    )
    figure.update_yaxes(autorange="reversed")
    return figure
