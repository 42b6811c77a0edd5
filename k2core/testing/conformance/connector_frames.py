"""MUSTs of a connector about subscriptions and frames: all that was asked for, each frame once, none judged."""

from __future__ import annotations

import random

from k2core.interfaces.connector import FrameKind
from k2core.interfaces.frames import FrameBatch, NormalizedBatch, Subscription
from k2core.testing.conformance.connector_world import ConnectorFactsSuite, Talk, _streams
from k2core.testing.exchange import FakeExchange

GARBAGE = (b"garbage", b"{", b"\xff\xfe\x00", b"[[[[", b'{"k2":"unknown"}')
ENDED = frozenset({FrameKind.ACK, FrameKind.REFUSED, FrameKind.HEARTBEAT, FrameKind.CLOSING})
"""Kinds of frame that core keeps from the normalizer."""


class FrameTests(ConnectorFactsSuite):
    """A connection without faults of its own."""

    def test_C01_it_subscribes_to_what_the_settings_ask_for(self) -> None:
        """To all of it, to nothing else, and nothing is left unanswered."""

        async def work() -> None:
            async with self._talking() as talk:
                assert _streams(talk.exchange) == set(self.streams)
                await self._send_all(talk)
                await talk.all_of(len(talk.sent))
                facts = talk.connector.facts()
                assert not facts.get("refused_subscriptions"), (
                    f"refused by the dialect: {facts['refused_subscriptions']}"
                )
                assert talk.exchange.counts["connects"] == len(talk.exchange.connections), "connections were given up"

        self.run(work())

    def test_C02_any_share_of_the_subscriptions_is_asked_for_alone(self) -> None:
        """Core spreads subscriptions over connections and tries refused ones again in halves."""
        if (feed := self._feed()) is None:
            return
        everything, seen = list(feed.subscriptions()), set[str]()
        assert len(set(everything)) == len(everything) == len(self.streams), "each subscription is one stream, once"
        for one in everything:
            asked = self._asked([one])
            assert len(asked) == 1, f"{one} alone asks for {sorted(asked)}"
            assert not asked & seen, f"{one} asks for what another one asks for: {sorted(asked)}"
            seen |= asked
        assert seen == set(self.streams)
        requests = feed.subscribe(everything, 7)
        names = [request.request_id for request in requests]
        assert len(set(names)) == len(names), f"requests share names: {names}"

    def _asked(self, subscriptions: list[Subscription]) -> set[str]:
        """Streams that the dialect is asked for, by address or by message."""
        feed, dialect = self._feed(), self.dialect()
        assert feed is not None
        url = feed.endpoint(subscriptions)
        scheme, _, rest = url.partition("://")
        assert scheme in ("ws", "wss"), f"endpoint gives {url!r}, no WebSocket address"
        streams = dialect.on_connect("/" + rest.partition("/")[2])
        for request in feed.subscribe(subscriptions, 7):
            _, streams = dialect.on_message(request.payload, set(streams))
        return streams

    def test_C03_every_frame_arrives_once_unchanged_in_order_and_numbered(self) -> None:
        """Frames of a connection are numbered without holes; each has its receive time."""

        async def work() -> None:
            async with self._talking() as talk:
                for _ in range(20):
                    await self._send_all(talk)
                await talk.all_of(len(talk.sent))
                for number in {number for number, _ in talk.exchange.sent}:
                    part = [frame for of, frame in talk.exchange.sent if of == number]
                    self._check_in_order(talk, part)
                self._check_numbers(talk)

        self.run(work())

    def _check_in_order(self, talk: Talk, part: list[bytes]) -> None:
        known = set(part)
        assert [frame for frame in talk.got if frame in known] == part, (
            "frames are lost, changed, doubled or out of order"
        )

    def _check_numbers(self, talk: Talk) -> None:
        for batch in talk.batches:
            assert len(batch.frames) == len(batch.received_ns), "a receive time for each frame"
            assert min(batch.received_ns) > 1_500_000_000 * 10**9, "receive times are Unix ns"
        for connection, numbers in talk.numbers().items():
            assert len(set(numbers)) == len(numbers), f"connection {connection}: numbers are used twice"
            assert numbers == sorted(numbers), f"connection {connection}: numbers go back"

    def test_C04_doubled_and_reordered_frames_pass_as_they_came(self) -> None:
        """A connector judges nothing: dedup and gaps are others' work."""

        async def work() -> None:
            async with self._talking() as talk:
                for stream, frames in self.streams.items():
                    await talk.exchange.send(stream, [*frames, *frames[::-1], frames[0], frames[0]])
                await talk.all_of(len(talk.sent))
                assert sorted(talk.got) == sorted(talk.sent)

        self.run(work())

    def test_C05_half_frames_and_garbage_go_on_to_the_normalizer(self) -> None:
        """They become dead letters there; here they cost neither a frame nor the connection."""

        async def work() -> None:
            async with self._talking() as talk:
                before = talk.exchange.counts["connects"]
                for stream, frames in self.streams.items():
                    await talk.exchange.send(stream, [frames[0], frames[1]])
                for connection in talk.exchange.connections:
                    halves = [frame[: len(frame) // 2] for _, frame in talk.exchange.sent]
                    await connection.send([*GARBAGE[:1], *halves, *GARBAGE])
                    await self._send_all(talk)
                await talk.all_of(len(talk.sent))
                assert sorted(talk.got) == sorted(talk.sent)
                assert talk.exchange.counts["connects"] == before, "a bad frame cost the connection"

        self.run(work())

    def test_C06_whatever_the_bytes_a_frame_is_classified(self) -> None:
        """Data is data, control is not, half frames are never control; and nothing is raised."""
        if (feed := self._feed()) is None:
            return
        exchange, pick = FakeExchange(self.dialect()), random.Random(3)  # noqa: S311 - repeatable, no secret
        path = "/" + feed.endpoint(feed.subscriptions()).partition("://")[2].partition("/")[2]
        data = [exchange.dialect.wrap(path, name, frame) for name, frames in self.streams.items() for frame in frames]
        for frame in data:
            assert feed.is_data(frame), f"{frame[:120]!r} is data"
            for at in range(0, len(frame), 1 + len(frame) // 200):
                half = frame[:at]
                assert feed.is_data(half) or feed.classify(half).kind not in ENDED, (
                    f"{half[-60:]!r} is dropped as control"
                )
        for frame in self.control:
            assert not feed.is_data(frame), f"{frame[:120]!r} is control"
        for frame in (*data, *self.control, *GARBAGE):
            for _ in range(50):
                at = pick.randrange(len(frame) + 1)
                mutant = frame[:at] + pick.randbytes(pick.randrange(3)) + frame[at + pick.randrange(3) :]
                assert feed.is_data(mutant) in (True, False)
                assert isinstance(feed.classify(mutant).kind, FrameKind)

    def test_C07_its_normalizer_reads_what_it_passes_on(self) -> None:
        """The frames as they come over the wire, wrapped as the dialect does, are refused by none."""
        if self.normalizer is None:
            return

        async def work() -> list[bytes]:
            async with self._talking() as talk:
                await self._send_all(talk)
                await talk.all_of(len(talk.sent))
                return talk.frames

        found = self._normalized(self.run(work()))
        assert not found.rejected, f"its normalizer refuses what the connector passes on: {list(found.rejected)[:3]}"
        assert set(found.records) == set(self._facts().channels), "channels are declared that nothing came for"

    def test_C20_a_subscription_brings_its_own_symbol_and_no_other(self) -> None:
        """What settings ask for under a symbol is found under it; each stream's frames are its subscription's."""
        if (feed := self._feed()) is None or self.normalizer is None:
            return
        dialect = self.dialect()
        path = "/" + feed.endpoint(feed.subscriptions()).partition("://")[2].partition("/")[2]
        for one in feed.subscriptions():
            for stream in self._asked([one]):
                frames = [dialect.wrap(path, stream, frame) for frame in self.streams.get(stream, ())]
                for name, records in self._normalized(frames).records.items():
                    symbols = set(map(str, records["symbol"].to_pylist()))
                    said = f"{one.symbol} asks for {stream}, and gets {name} of {sorted(symbols)}"
                    assert (name, symbols) == (one.data_type, {one.symbol}), said

    def _normalized(self, frames: list[bytes]) -> NormalizedBatch:
        assert self.normalizer is not None
        reader = self.normalizer.factory(self.normalizer.settings(), self._context())
        return reader.normalize(FrameBatch(frames, [1_790_000_000_000_000_000] * len(frames)))
