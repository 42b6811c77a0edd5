"""What degradation tells: a writer's level and what it gave up, and the level as other processes know it."""

from __future__ import annotations

from k2core.telemetry.declared.sets import WRITE
from k2core.telemetry.metric import Metric

_TYPE = ("data_type",)
LEVELS = ("NORMAL", "SOFT", "GRACEFUL", "AGGRESSIVE", "CIRCUIT_BREAK")

DEGRADATION = (
    Metric(
        "k2_writer_degradation_level",
        "gauge",
        _TYPE,
        "0 NORMAL, 1 SOFT (no enrichment), 2 GRACEFUL (tier 3 is shed), 3 AGGRESSIVE (tier 1 is kept), 4 CIRCUIT_BREAK",
        WRITE,
        rare=True,
        zero=True,
    ),
    Metric(
        "k2_writer_degradation_changes_total",
        "counter",
        ("data_type", "level"),
        "changes of the level, by the one that was entered",
        WRITE,
        values={"level": LEVELS},
        rare=True,
    ),
    Metric("k2_writer_memory_ratio", "gauge", (), "resident memory of its memory limit", WRITE),
    Metric(
        "k2_writer_shed_records",
        "gauge",
        _TYPE,
        "records that are shed and not restored, by the table",
        WRITE,
        rare=True,
        zero=True,
    ),
    Metric(
        "k2_degradation_level",
        "gauge",
        (),
        "highest level of any writer, as the control topic tells",
        rare=True,
        zero=True,
    ),
)
