"""k2 itself in one process, on a folder: the very classes that the commands use, without sockets and supervision."""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from k2core.api.run import ServeParts, build_service
from k2core.avro.codec import Codec
from k2core.broker.specs import topic_spec
from k2core.cli.serving import admission, serve_parts
from k2core.cli.topics import declared_topics
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover
from k2core.ingest.digest import Digest, Digested
from k2core.interfaces.broker import EncodedBatch
from k2core.interfaces.frames import FrameBatch
from k2core.records.builtin import DEAD_LETTERS, TRADES
from k2core.records.topics import Topic
from k2core.writer.pipeline import WriterPipeline

TOPIC = Topic("crypto", "trades", "binance")
SETTINGS = """
[connectors.binance]
symbols = ["BTCUSDT"]
data_types = ["trades"]

[writer]
max_future_s = 1000000000
commit_rows = 1000000
"""
NOW_NS = 1_723_161_255_000_000_000


class Rig:
    """One installation; `extra` stands in its settings besides. In the same folder again it is the same one."""

    def __init__(self, folder: pathlib.Path, extra: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "k2.toml"
        file.write_text(SETTINGS + extra)
        self.assembly = Assembly(load_config(file, env={}), discover())
        self.log = self.assembly.broker().__enter__()
        kinds = self.assembly.data_types()
        self.log.ensure_topics([topic_spec(topic, kinds[topic.data_type]) for topic in declared_topics(self.assembly)])
        self.producer = self.log.producer()

    @cached_property
    def digest(self) -> Digest:
        """Frames to encoded records, as `k2 ingest` does it."""
        capture = self.assembly.captures()[0]
        codecs = {t.name: Codec(t) for t in (TRADES, DEAD_LETTERS)}
        return Digest(capture.normalizer, capture.facts, {"trades": TRADES}, codecs, 65_536, logging.getLogger("bench"))

    def capture(self, frames: list[bytes]) -> None:
        """One batch of frames, durable when this returns."""
        self.producer.produce(self.encoded(frames))

    def encoded(self, frames: list[bytes]) -> list[EncodedBatch]:
        """One batch of frames as the log takes it."""
        batches = [FrameBatch(frames, [NOW_NS] * len(frames))]
        return list(self.digest(batches, NOW_NS // 1_000_000, Digested()))

    def close(self) -> None:
        """Close the log."""
        self.producer.close()
        self.log.__exit__(None, None, None)

    def pipeline(self, a_commit: int) -> WriterPipeline:
        """The writer of trades, started; it reads no more at once than a commit is to take."""
        sink = self.assembly.sinks()["lake"].__enter__()
        topics = [TOPIC.name]
        made = WriterPipeline(
            data_type=TRADES, topics=topics, consumer=self.log.consumer(topics), producer=self.log.producer(),
            broker=self.log, sink_table=sink.table(TRADES), dedup=self.assembly.dedup(),
            admission=admission(self.assembly, TRADES), settings=self.assembly.config.writer.model_copy(update={"poll_records": a_commit}),
            clock=self.assembly.clock, metrics=self.assembly.metrics, logger=logging.getLogger("bench"), owner="bench",
        )  # fmt: skip
        made.start()
        return made

    def drain(self, pipeline: WriterPipeline, rows: int, a_commit: int) -> None:
        """Log → table until `rows` are in, `a_commit` at a time."""
        done = 0
        while done < rows:
            while pipeline.waiting < a_commit and pipeline.step(0):
                pass
            done += pipeline.waiting
            if not pipeline.waiting:
                raise RuntimeError(f"the log ended after {done} of {rows} rows")
            pipeline.commit()

    @contextlib.contextmanager
    def service(self) -> Iterator[Any]:
        """Query service with its tail at the log's end."""
        with serve_parts(self.assembly, [TRADES]) as parts:
            service = build_service(parts)
            tail = service.tails["trades"]
            while tail.advance(0):
                pass
            yield service
            tail.close()


__all__ = ["Rig", "ServeParts"]
