"""What a normalizer's form costs a record: `python -m benchmarks.frames`.

The batch form is the Binance plugin's; the simple form reads the same frames with `FrameParser`. CPU time of the best of
several runs, one record a frame, batches of 2,000. It fails where the simple form costs more than twice the batch form.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from k2_plugin_binance.normalizer import BinanceNormalizer
from k2_plugin_binance.quotes import WrappedQuote
from k2_plugin_binance.trades import WrappedTrade

from k2core.plugin import FrameBatch, FrameParser, Normalizer, Quote, Trade

MOST_TIMES = 2.0
FRAMES, BATCH, RUNS = 20_000, 2_000, 15
RECEIVED_NS = 1_723_161_255_999_000_000
_TRADE = msgspec.json.Decoder(WrappedTrade).decode
_QUOTE = msgspec.json.Decoder(WrappedQuote).decode


class SimpleBinance(FrameParser):
    """Binance as an author of the simple form writes it."""

    exchange = "binance"

    def parse(self, frame: bytes) -> Iterable[Trade | Quote]:
        if b'@trade"' in frame[:40]:
            t = _TRADE(frame).data
            return [Trade(t.s, t.p, t.q, "sell" if t.m else "buy", t.t, t.T * 1000, t.t)]
        q = _QUOTE(frame).data
        return [Quote(q.s, q.b, q.B, q.a, q.A, q.u)]


def trades() -> list[bytes]:
    return [
        b'{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":%d,"p":"%d.%02d000000",'
        b'"q":"0.%05d000","T":%d,"m":%b,"M":true}}'
        % (n, 61_000 + n % 99, n % 100, n % 90_000 + 1, 1_723_161_255_342 + n, b"true" if n % 2 else b"false")
        for n in range(FRAMES)
    ]


def quotes() -> list[bytes]:
    return [
        b'{"stream":"btcusdt@bookTicker","data":{"u":%d,"s":"BTCUSDT","b":"61837.%02d000000","B":"3.78826000",'
        b'"a":"61839.%02d000000","A":"1.54698000"}}' % (n, n % 100, n % 100)
        for n in range(FRAMES)
    ]


def record_ns(normalizer: Normalizer, frames: Sequence[bytes]) -> float:
    """CPU nanoseconds a record."""
    batches = [FrameBatch(frames[at : at + BATCH], [RECEIVED_NS] * BATCH) for at in range(0, len(frames), BATCH)]
    best = float("inf")
    for _ in range(RUNS):
        start = time.process_time()
        done = sum(normalizer.normalize(batch).yielding for batch in batches)
        best = min(best, time.process_time() - start)
        assert done == len(frames)
    return best / len(frames) * 1e9


def measure() -> dict[str, Any]:
    """ns a record of both forms, and how many times the one the other is."""
    found: dict[str, Any] = {}
    for name, frames in (("trades", trades()), ("quotes", quotes())):
        batch, simple = record_ns(BinanceNormalizer(), frames), record_ns(SimpleBinance(), frames)
        found[name] = {"batch_ns": round(batch), "simple_ns": round(simple), "times": round(simple / batch, 2)}
    return found


if __name__ == "__main__":
    measured = measure()
    sys.stdout.write(json.dumps(measured) + "\n")
    sys.exit(any(one["times"] > MOST_TIMES for one in measured.values()))
