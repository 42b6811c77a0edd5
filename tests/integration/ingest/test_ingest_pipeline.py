"""Feed to log: everything is in the log once and in order, what cannot be read is a dead letter, a full log waits."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

import pyarrow as pa
import pytest

from k2core.config.settings import IngestSettings
from k2core.errors import (
    BrokerError,
    ConfigError,
    ConnectorError,
    LogBusyError,
    LogCorruptError,
    LogFullError,
)
from k2core.ingest.run import run_all
from k2core.interfaces.frames import FrameBatch, NormalizedBatch, Rejected
from k2core.records.builtin import DEAD_LETTERS, TRADES
from tests.integration.feed.toy_exchange import ToyNormalizer, trades
from tests.integration.ingest.ingest_world import Tape, World, running


def batch(frames: list[bytes], first: int = 0, connection: int = 3) -> FrameBatch:
    return FrameBatch(frames, [1] * len(frames), connection, first)


async def test_frames_become_records_in_order() -> None:
    tape = Tape([batch(trades(i * 100, 100), i * 100) for i in range(30)])
    async with running(World(tape)) as world:
        await world.until(lambda: len(world.stored(TRADES)) == 3000)
        assert world.ids() == list(range(3000))
        assert {(r["exchange"], r["source"], r["symbol"]) for r in world.stored(TRADES)} == {("toy", "live", "AAA")}
        assert world.producer.calls < 10  # gathered, not one by one
    assert world.metrics.value("k2_ingest_records_total", data_type="trades") == 3000


async def test_frames_pile_up_for_the_linger_so_that_wake_ups_are_few() -> None:
    tape = Tape()
    async with running(World(tape, settings=IngestSettings(linger_ms=200))) as world:
        for i in range(20):
            tape.put(batch(trades(i, 1), i))
            await asyncio.sleep(0.002)
        await world.until(lambda: len(world.stored(TRADES)) == 20)
        assert world.producer.calls <= 2


async def test_what_cannot_be_read_becomes_a_dead_letter_beside_its_neighbours() -> None:
    frames = [*trades(0, 2), b"{broken", *trades(2, 2), b'{"note":1}', b'{"s":"AAA","id":"x","p":1,"ts":2}']
    async with running(World(Tape([batch(frames, first=10)]))) as world:
        await world.until(lambda: len(world.stored(DEAD_LETTERS)) == 2)
        assert world.ids() == [0, 1, 2, 3]
        dead = world.stored(DEAD_LETTERS)
        assert [d["origin"] for d in dead] == ["3/12", "3/16"]
        assert [d["payload"] for d in dead] == [frames[2], frames[6]]
        assert {(d["reason"], d["stage"], d["exchange"], d["symbol"]) for d in dead} == {
            ("malformed-json", "normalize", "toy", "")
        }
        assert all(abs(d["exchange_timestamp_ms"] - time.time() * 1000) < 60_000 for d in dead)
    assert world.pipeline.result.control == 1


async def test_records_and_dead_letters_go_in_one_append() -> None:
    async with running(World(Tape([batch([*trades(0, 2), b"{"])]))) as world:
        await world.until(lambda: bool(world.stored(DEAD_LETTERS)))
        assert world.producer.calls == 1


class Quoting(ToyNormalizer):
    """Refuses frames in the words of the frame."""

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        found = super().normalize(batch)
        return replace(found, rejected=[Rejected(one.index, "bad-side", "side is \ud800") for one in found.rejected])


async def test_a_reason_that_no_encoding_takes_is_a_dead_letter_like_others() -> None:
    frames = [*trades(0, 2), b"{broken", *trades(2, 2)]
    async with running(World(Tape([batch(frames)]), normalizer=Quoting())) as world:
        await world.until(lambda: bool(world.stored(DEAD_LETTERS)))
        assert [d["detail"] for d in world.stored(DEAD_LETTERS)] == ["side is \\ud800"]
        assert world.ids() == [0, 1, 2, 3]


async def test_payloads_of_dead_letters_are_cut() -> None:
    world = World(Tape([batch([b"x" * 100])]), settings=IngestSettings(linger_ms=0, payload_bytes=7))
    async with running(world):
        await world.until(lambda: bool(world.stored(DEAD_LETTERS)))
        assert world.stored(DEAD_LETTERS)[0]["payload"] == b"x" * 7


async def test_a_normalizer_that_raises_costs_only_the_frames_at_fault(caplog: pytest.LogCaptureFixture) -> None:
    frames = trades(0, 100)
    frames[13], frames[77] = b'{"boom":1}', b'{"boom":2}'
    async with running(World(Tape([batch(frames)]))) as world:
        await world.until(lambda: len(world.stored(DEAD_LETTERS)) == 2)
        assert world.ids() == [i for i in range(100) if i not in (13, 77)]
        assert [(d["reason"], d["origin"]) for d in world.stored(DEAD_LETTERS)] == [
            ("normalizer-error", "3/13"),
            ("normalizer-error", "3/77"),
        ]
    assert [r.message for r in caplog.records if "boom" in r.message] != []
    assert world.metrics.value("k2_ingest_normalizer_failures_total", exchange="toy") >= 1
    assert world.metrics.value("k2_ingest_dead_letters_total", exchange="toy", reason="normalizer-error") == 2


class Odd(ToyNormalizer):
    """Changes what the toy's normalizer gives."""

    def __init__(self, how: str) -> None:
        self._how = how

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        found = super().normalize(batch)
        odd = any(b'"id":5,' in f for f in batch.frames)
        records = found.records.get("trades")
        if not odd or records is None:
            return found
        if self._how == "other exchange":
            at = records.schema.names.index("exchange")
            records = records.set_column(at, "exchange", pa.array(["else"] * records.num_rows))
        elif self._how == "null price":
            at = records.schema.names.index("price")
            records = records.set_column(at, "price", pa.array([None] * records.num_rows, pa.float64()))
        name = "candles" if self._how == "other type" else "trades"
        rejected = [Rejected(99, "no-such-frame", "")] if self._how == "index" else found.rejected
        return NormalizedBatch({name: records}, rejected, found.control, found.yielding)


@pytest.mark.parametrize("how", ["other exchange", "null price", "other type", "index"])
async def test_records_that_no_log_may_hold_become_dead_letters(how: str) -> None:
    async with running(World(Tape([batch(trades(0, 20))]), normalizer=Odd(how))) as world:
        await world.until(lambda: bool(world.stored(DEAD_LETTERS)))
        assert world.ids() == [i for i in range(20) if i != 5]
        assert world.stored(DEAD_LETTERS)[0]["origin"] == "3/5"


async def test_accounts_that_do_not_close_are_said_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    class Forgets(ToyNormalizer):
        def normalize(self, batch: FrameBatch) -> NormalizedBatch:
            found = super().normalize(batch)
            return NormalizedBatch(found.records, found.rejected, found.control, found.yielding - 2)

    async with running(World(Tape([batch(trades(0, 10))]), normalizer=Forgets())) as world:
        await world.until(lambda: len(world.ids()) == 10)
    assert world.pipeline.result.unaccounted == 2
    assert world.metrics.value("k2_ingest_frames_total", outcome="unaccounted") == 2
    assert any("accounts for 8 of 10 frames" in r.message for r in caplog.records)


async def test_a_log_that_is_full_or_busy_is_waited_for_and_nothing_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tape = Tape()
    async with running(World(tape, settings=IngestSettings(linger_ms=1, batch_frames=10))) as world:
        world.producer.for_ever = LogFullError("no space")
        tape.put(*(batch(trades(i * 10, 10), i * 10) for i in range(50)))
        await world.until(lambda: world.producer.calls >= 2)
        assert tape.taken <= 4  # nothing more is taken from the connector: it pushes back
        assert world.ids() == []
        world.producer.refusals = [LogBusyError("locked")]
        world.producer.for_ever = None
        await world.until(lambda: len(world.ids()) == 500)
        assert world.ids() == list(range(500))
    assert world.metrics.value("k2_ingest_log_stalls_total", reason="full") >= 2
    assert world.metrics.value("k2_ingest_log_stalls_total", reason="busy") == 1
    assert sum("takes no records" in r.message for r in caplog.records) == 1
    assert any("takes records again" in r.message for r in caplog.records)


@pytest.mark.parametrize("error", [LogCorruptError("damaged"), BrokerError("unknown")])
async def test_a_log_that_refuses_for_good_ends_the_pipeline_even_in_silence(error: Exception) -> None:
    tape = Tape([batch(trades(0, 1))])
    world = World(tape)
    world.producer.for_ever = error
    async with asyncio.timeout(60):
        with pytest.raises(type(error)):
            await world.pipeline.run(world.stop)
    assert world.pipeline.result.frames == 0
    assert world.pipeline.result.unsaved == 1


async def test_what_is_queued_at_the_stop_goes_into_the_log() -> None:
    tape = Tape([batch(trades(i * 10, 10), i * 10) for i in range(100)])
    async with running(World(tape, settings=IngestSettings(linger_ms=50, batch_frames=10))) as world:
        world.stop.set()
    assert world.ids() == list(range(1000))
    assert world.pipeline.result.unsaved == 0


async def test_a_stop_is_bounded_and_names_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    for ends, full in ((False, False), (True, True)):
        world = World(Tape([batch(trades(0, 5))], ends=ends), drain_s=0.1)
        world.producer.for_ever = LogFullError("no space") if full else None
        start = time.monotonic()
        async with running(world):
            await world.until(lambda world=world: world.producer.calls > 0)
            world.stop.set()
        assert time.monotonic() - start < 30
        assert world.pipeline.result.unsaved == (5 if full else 0)
    assert any("5 frames that are not in the log" in r.message for r in caplog.records)


async def test_one_pipeline_that_fails_stops_no_other() -> None:
    class Wrong(Tape):
        async def frames(self):  # type: ignore[no-untyped-def]
            raise ConfigError("no such address")
            yield

    class Short(Tape):
        async def frames(self):  # type: ignore[no-untyped-def]
            yield batch(trades(0, 2))

    good, bad, over = World(Tape([batch(trades(0, 3))])), World(Wrong()), World(Short())
    running_all = asyncio.create_task(run_all([w.pipeline for w in (good, bad, over)], good.stop))
    await good.until(lambda: len(good.ids()) == 3 and over.connector.closed)  # type: ignore[attr-defined]
    good.stop.set()
    ended = await asyncio.wait_for(running_all, 60)
    assert [type(e.error) for e in ended] == [type(None), ConfigError, ConnectorError]
    assert [e.result.yielding for e in ended] == [3, 0, 2]
