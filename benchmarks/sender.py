"""A Binance on loopback that sends at a rate, in a process of its own.

Prints one JSON line with its settings once it listens, and one with the ids that it sent, per stream, when it is done:
after `--seconds`, or when its stdin ends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from k2_plugin_binance.protocol import BinanceDialect

from benchmarks import tape, wire
from k2core.clock import SystemClock
from k2core.testing import FakeExchange

TICK_S = 0.01


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--quotes", action="store_true")
    asked = parser.parse_args()
    blocks, first = wire.blocks(asked.rate, max(1, int(asked.rate * TICK_S)), quotes=asked.quotes)
    async with FakeExchange(BinanceDialect(tape.SYMBOLS, SystemClock()), ledger=False) as exchange:
        urls = {"websocket_url": exchange.url, "rest_url": exchange.rest_url}
        symbols = sorted({n.decode().split("@")[0].upper() for n in first})
        print(json.dumps({**urls, "symbols": symbols}), flush=True)
        await exchange.wait_subscribed({n.decode() for n in first}, 30)
        (connection,) = exchange.connections
        print(json.dumps({"at": time.time()}), flush=True)
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        following, start, sent = dict(first), time.monotonic(), 0
        while time.monotonic() < start + asked.seconds and not ended.done():
            for block in blocks:
                if (early := start + sent / asked.rate - time.monotonic()) > 0:
                    await asyncio.sleep(early)
                if not await connection.write(block.render(int(1000 * time.time()), following)):
                    raise SystemExit("the connection ended")
                sent += block.frames
        taken = time.monotonic() - start
        ids = {n.decode(): [first[n], following[n]] for n in first}
        print(json.dumps({"sent": sent, "seconds": taken, "cpu_s": time.process_time(), "ids": ids}), flush=True)
        await ended


if __name__ == "__main__":
    asyncio.run(main())
