"""Dashboards as Grafana's JSON, through its own SDK."""

from __future__ import annotations

import json
from typing import Any

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    GridPos,
    VariableRefresh,
)

from observability.boards import Board, Panel
from observability.more_boards import rows_of

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
WIDTH, WIDE, HIGH = 24, 8, 7
FIGURE_WIDE, FIGURE_HIGH = 4, 4


def rendered(board: Board) -> str:
    """The dashboard's JSON."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["k2"])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("utc")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for variable in variables():
        made = made.with_variable(variable)
    top = 0
    for title, panels in rows_of(board):
        made = made.with_row(dashboard.Row(title).grid_pos(GridPos(h=1, w=WIDTH, x=0, y=top)))
        top += 1
        left, high = 0, 0
        for panel in panels:
            wide, tall = (FIGURE_WIDE, FIGURE_HIGH) if panel.figure else (WIDE, HIGH)
            if left + wide > WIDTH:
                left, top = 0, top + high
            high = tall
            made = made.with_panel(drawn(panel).grid_pos(GridPos(h=tall, w=wide, x=left, y=top)))
            left += wide
        top += high
    plain = _without_nothing(json.loads(JSONEncoder(sort_keys=True).encode(made.build())))
    for number, panel in enumerate(plain["panels"], 1):
        panel["id"] = number
    return json.dumps(plain, indent=1, sort_keys=True) + "\n"


def _without_nothing(value: Any) -> Any:
    """Without keys that say nothing: they would differ from version to version of the SDK."""
    if isinstance(value, dict):
        return {key: _without_nothing(one) for key, one in value.items() if one is not None}
    return [_without_nothing(one) for one in value] if isinstance(value, list) else value


def variables() -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    """Datasource, job, instance: chosen at the top of the dashboard."""
    job = dashboard.QueryVariable("job").label("job").query("label_values(k2_build_info, job)")
    instance = dashboard.QueryVariable("instance").label("instance")
    instance = instance.query('label_values(k2_build_info{job=~"$job"}, instance)')
    asked = [
        one.datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".+")
        .multi(True)
        for one in (job, instance)
    ]
    return [dashboard.DatasourceVariable("datasource").label("data source").type("prometheus"), *asked]


def drawn(panel: Panel) -> stat.Panel | timeseries.Panel:
    """One panel."""
    made = (stat.Panel() if panel.figure else timeseries.Panel()).title(panel.title).description(panel.description)
    made = made.datasource(SOURCE).unit(panel.unit)
    for number, query in enumerate(panel.queries()):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + number))
        made = made.with_target(target.datasource(SOURCE))
    return made
