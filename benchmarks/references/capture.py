"""Bare loop, frame → log: msgspec on joined frames, Arrow columns, a numpy Avro encoder, blocks into SQLite."""

from __future__ import annotations

import itertools
import pathlib
import sqlite3

import mmh3
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class Trade(msgspec.Struct, gc=False):
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class Frame(msgspec.Struct, gc=False):
    stream: str
    data: Trade


MANY = msgspec.json.Decoder(list[Frame])


class BareLog:
    """SQLite in WAL mode, synchronous full; a row is a block of one partition."""

    def __init__(self, path: pathlib.Path) -> None:
        for old in path.parent.glob(path.name + "*"):
            old.unlink()
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=full")
        self.db.execute(
            "create table block (id integer primary key, part int, base int, rows int, sizes blob, data blob)"
        )
        self.next = [0] * 16
        self.bucket: dict[str, int] = {}

    def capture(self, frames: list[bytes], now_us: int) -> None:
        """One batch of frames, durable when this returns."""
        data = [f.data for f in MANY.decode(b"[" + b",".join(frames) + b"]")]
        n = len(data)
        symbols = pa.array([d.s for d in data]).dictionary_encode()
        price, quantity = pa.array([d.p for d in data]), pa.array([d.q for d in data])
        if max(pc.max(pc.binary_length(c)).as_py() for c in (price, quantity)) > 18:
            raise ValueError("too many digits for the fast path")
        ids = np.fromiter((d.t for d in data), np.int64, n)
        times = np.fromiter((d.T for d in data), np.int64, n)
        sold = np.fromiter((d.m for d in data), np.int8, n)
        words = symbols.dictionary.to_pylist()
        parts = np.array([self.part_of(w) for w in words])[symbols.indices.to_numpy()]
        order = np.argsort(parts, kind="stable")
        codes = symbols.indices.to_numpy()[order]
        doubles = np.empty((n, 2), "<f8")
        doubles[:, 0], doubles[:, 1] = price.cast(pa.float64()).to_numpy(), quantity.cast(pa.float64()).to_numpy()
        columns = [
            texts(words, codes, b""), constant(n, b"\x0ebinance"), longs(times[order], b""),
            (doubles[order].view(np.uint8).reshape(n, 16), np.ones((n, 16), bool)),
            texts(["buy", "sell"], sold[order], b"\x02"), numerals(ids[order]), longs(ids[order], b"\x02"),
            longs(times[order] * 1000, b"\x02"), longs(np.full(n, now_us), b"\x02"), constant(n, b"\x02\x08live"),
        ]  # fmt: skip
        mask = np.hstack([m for _, m in columns])
        self.insert(parts[order], mask.sum(axis=1, dtype=np.uint32), np.hstack([b for b, _ in columns])[mask].tobytes())

    def insert(self, parts: np.ndarray, sizes: np.ndarray, data: bytes) -> None:
        edges = np.append(np.flatnonzero(np.diff(parts, prepend=-1)), len(parts)).tolist()
        at = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        rows = []
        for lo, hi in itertools.pairwise(edges):
            part = int(parts[lo])
            rows.append((part, self.next[part], hi - lo, sizes[lo:hi].tobytes(), data[at[lo] : at[hi]]))
            self.next[part] += hi - lo
        self.db.execute("begin")
        self.db.executemany("insert into block (part, base, rows, sizes, data) values (?, ?, ?, ?, ?)", rows)
        self.db.execute("commit")

    def part_of(self, symbol: str) -> int:
        if symbol not in self.bucket:
            self.bucket[symbol] = (mmh3.hash(symbol) & 0x7FFFFFFF) % 16
        return self.bucket[symbol]

    def read(self, after: int, want: int) -> tuple[int, list[tuple[int, int, int, bytes]]]:
        """Whole blocks behind row `after` until `want` records: (last row, [(part, base, rows, data)])."""
        out, got, last = [], 0, after
        asked = "select id, part, base, rows, data from block where id > ? order by id"
        for i, part, base, rows, data in self.db.execute(asked, (after,)):
            out.append((part, base, rows, data))
            got, last = got + rows, i
            if got >= want:
                break
        return last, out


def constant(n: int, value: bytes) -> tuple[np.ndarray, np.ndarray]:
    return np.broadcast_to(np.frombuffer(value, np.uint8), (n, len(value))), np.ones((n, len(value)), bool)


def texts(words: list[str], codes: np.ndarray, prefix: bytes) -> tuple[np.ndarray, np.ndarray]:
    raw = [prefix + bytes([2 * len(w)]) + w.encode() for w in words]
    width = max(map(len, raw))
    table = np.array([np.frombuffer(r.ljust(width, b"\0"), np.uint8) for r in raw])
    return table[codes], (np.arange(width) < np.array([len(r) for r in raw])[:, None])[codes]


def longs(values: np.ndarray, prefix: bytes) -> tuple[np.ndarray, np.ndarray]:
    u = values.astype(np.uint64) << np.uint64(1)
    width = max(1, (int(u.max()).bit_length() + 6) // 7)
    rest = u[:, None] >> (np.arange(width, dtype=np.uint64) * np.uint64(7))
    mask = rest > 0
    mask[:, 0] = True
    more = np.zeros(mask.shape, np.uint8)
    more[:, :-1] = mask[:, 1:] * np.uint8(128)
    body = (rest & np.uint64(127)).astype(np.uint8) | more
    head = constant(len(values), prefix)
    return np.hstack([head[0], body]), np.hstack([head[1], mask])


def numerals(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    text = pa.array(values).cast(pa.string())
    offsets = np.frombuffer(text.buffers()[1], np.int32)[: len(text) + 1]
    length = np.diff(offsets)
    raw = np.frombuffer(text.buffers()[2], np.uint8)
    at = offsets[:-1, None] + np.arange(int(length.max()))
    body = raw[np.minimum(at, len(raw) - 1)]
    head = (length * 2).astype(np.uint8)[:, None]
    branch = np.full((len(values), 1), 2, np.uint8)
    mask = np.hstack([np.ones((len(values), 2), bool), np.arange(body.shape[1]) < length[:, None]])
    return np.hstack([branch, head, body]), mask
