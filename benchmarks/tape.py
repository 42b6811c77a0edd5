"""Synthetic combined `@trade` frames: forty symbols after a 1/k law, contiguous ids, realistic prices; seeded."""

from __future__ import annotations

import random

SYMBOLS = ["BTCUSDT", "ETHUSDT", *(f"SYM{i:03d}USDT" for i in range(2, 40))]
START_MS = 1_723_075_200_000  # 2024-08-08T00:00Z
DAY_MS = 86_000_000
FRAME = b'{"stream":"%b@trade","data":{"e":"trade","E":%d,"s":"%b","t":%d,"p":"%b","q":"%b","T":%d,"m":%b,"M":true}}'


def frames(rows: int, span_ms: int = DAY_MS) -> list[bytes]:
    """`rows` frames, evenly over `span_ms` from 2024-08-08 on."""
    pick = random.Random(7)
    weights = [1 / (k + 1) for k in range(len(SYMBOLS))]
    chosen = pick.choices(range(len(SYMBOLS)), weights, k=rows)
    ids = [3_735_683_259 + 10_000_000 * k for k in range(len(SYMBOLS))]
    ticks = [6_000_000 // (k + 1) for k in range(len(SYMBOLS))]
    out = []
    for i, k in enumerate(chosen):
        if pick.random() < 0.4:
            ticks[k] = max(100, ticks[k] + pick.choice((-2, -1, 1, 2)))
        size = pick.choice((10, 100, 50, int(pick.lognormvariate(6, 1.8)) + 1))
        at = START_MS + span_ms * i // rows
        price, quantity = b"%d.%02d000000" % divmod(ticks[k], 100), b"%d.%05d000" % divmod(size, 100_000)
        name = SYMBOLS[k].encode()
        sold = b"true" if pick.random() < 0.5 else b"false"
        out.append(FRAME % (name.lower(), at + 1, name, ids[k], price, quantity, at, sold))
        ids[k] += 1
    return out


def cut(items: list[bytes], size: int) -> list[list[bytes]]:
    """Groups of `size`."""
    return [items[i : i + size] for i in range(0, len(items), size)]
