"""What the log in Kafka tells: appends that wait, answers of brokers, shares of a group, the schema registry."""

from __future__ import annotations

from k2core.telemetry.declared.sets import DELAYS, WORK
from k2core.telemetry.metric import Metric

KAFKA = (
    Metric(
        "k2_kafka_unconfirmed_records",
        "gauge",
        (),
        "records handed to the client that brokers have not confirmed",
        zero=True,
    ),
    Metric(
        "k2_kafka_delivery_seconds",
        "histogram",
        (),
        "one append, until brokers confirmed every record of it",
        buckets=DELAYS,
    ),
    Metric(
        "k2_kafka_append_failures_total",
        "counter",
        ("reason",),
        "appends of which not every record was confirmed",
        values={"reason": ("away", "missing", "unconfirmed", "refused")},
        rare=True,
    ),
    Metric("k2_kafka_answer_seconds", "histogram", (), "one question to brokers about topics", buckets=WORK),
    Metric(
        "k2_kafka_clients_discarded_total",
        "counter",
        ("role",),
        "clients given up after an error or a wait in vain; a new one took over",
        values={"role": ("producer", "reader", "admin")},
        rare=True,
    ),
    Metric(
        "k2_kafka_rebalances_total",
        "counter",
        ("kind",),
        "times that partitions were given, asked back, or lost to the other members of a group",
        values={"kind": ("given", "asked-back", "lost")},
    ),
    Metric(
        "k2_kafka_unassigned_seconds_total",
        "counter",
        (),
        "time that a member of a group had no partition",
    ),
    Metric(
        "k2_kafka_registry_requests_total",
        "counter",
        ("outcome",),
        "requests to the schema registry",
        values={"outcome": ("answered", "refused", "away")},
    ),
    Metric(
        "k2_kafka_registry_cache_uses_total",
        "counter",
        (),
        "subjects whose schema ids were read from disk, for the registry was away",
        rare=True,
    ),
)
