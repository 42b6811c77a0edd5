"""What a log accepted, read with a consumer of its own: the truth that a table is held against, whatever was killed."""

from __future__ import annotations

from typing import Any

from k2core.avro.codec import Codec
from k2core.cli.session import Session
from k2core.cli.topics import topics_of
from k2core.testing.oracle import OracleReport, compare
from tests.e2e.capture import COLUMNS, Capture

Record = dict[str, Any]


def accepted(world: Capture, name: str) -> list[Record]:
    """Every distinct record of a data type that the log holds, whoever wrote it how often; the first copy counts."""
    assembly = Session(config_option=world.settings).assembly
    data_type = assembly.data_types()[name]
    codec, found = Codec(data_type), {}
    with assembly.broker() as log:
        consumer = log.consumer(topics_of(name, log))
        consumer.seek(log.starts(topics_of(name, log)))
        ends = log.ends(topics_of(name, log))
        while any(consumer.positions().get(place, 0) < end for place, end in ends.items()):
            for block in consumer.poll(100_000, 5):
                for record in codec.decode(block.version, block.sizes, block.data).batch.to_pylist():
                    found.setdefault((record["exchange"], record["symbol"], record[data_type.id_column]), record)
        consumer.close()
    return list(found.values())


def verdict(world: Capture, name: str) -> OracleReport:
    """The table against what the log accepted, field by field."""
    return compare(accepted(world, name), world.rows(name), COLUMNS[name])
