"""Tapes and the oracle: repeatable, contiguous, plausible; and the normalizer agrees with an independent reading."""

from __future__ import annotations

import gzip
import json
import os
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest
from k2_plugin_binance.local import LocalBinance
from k2_plugin_binance.normalizer import BinanceNormalizer
from k2_plugin_binance.recordings import recorded, symbols_of, with_malformed
from k2_plugin_binance.settings import LocalBinanceSettings
from k2_plugin_binance.tape import Event, spelled

from k2core.plugin import ConfigError, FrameBatch
from k2core.testing import Issued, generated

SYMBOLS = ["BTCUSDT", "ETHUSDT", "PEPEUSDT"]
NOW_MS = 1_723_161_255_342


def tape(**changes: object) -> list[Event]:
    wanted = {"trades": 400, "quotes_per_trade": 2, "seconds": 3, "malformed": 2, "seed": 5}
    return [spelled(event) for event in generated(SYMBOLS, **{**wanted, **changes})]


def wrapped(event: Event) -> bytes:
    return b'{"stream":"%b","data":%b}' % (event.stream.encode(), event.rendered(NOW_MS))


def test_a_seed_gives_one_tape() -> None:
    assert tape() == tape()
    assert tape() != tape(seed=6)


def test_a_tape_holds_what_was_asked_for_in_order() -> None:
    events = tape()
    kinds = [event.stream.split("@")[1] for event in events if event.sound]
    assert (kinds.count("trade"), kinds.count("bookTicker")) == (400, 800)
    assert sum(not event.sound for event in events) == 2
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert 0 <= events[0].at < events[-1].at <= 3


def test_ids_are_contiguous_and_updates_increase_per_symbol() -> None:
    ids: dict[str, list[int]] = defaultdict(list)
    for event in tape():
        if event.sound:
            data = json.loads(event.rendered(NOW_MS))
            ids[event.stream].append(data["t"] if "t" in data else data["u"])
    assert len(ids) == 2 * len(SYMBOLS)
    for stream, seen in ids.items():
        steps = {b - a for a, b in pairwise(seen)}
        assert steps == {1} if stream.endswith("@trade") else min(steps) > 0


def test_the_defaults_are_the_demos() -> None:
    settings = LocalBinanceSettings()
    assert len(settings.symbols) == 6
    assert settings.trades >= 10_000
    assert settings.malformed == 1
    assert settings.double_every > 0


def agree(frames: list[tuple[int, str, bytes]]) -> dict[str, int]:
    """Normalize combined frames in batches; the oracle's reading of the same frames must be equal, field for field."""
    issued, rows = Issued(LocalBinance(LocalBinanceSettings(trades=0)).meaning), defaultdict(list)
    for _, _, payload in frames:
        issued.note(payload)
    for first in range(0, len(frames), 700):
        part = frames[first : first + 700]
        batch = [b'{"stream":"%b","data":%b}' % (stream.encode(), payload) for _, stream, payload in part]
        result = BinanceNormalizer().normalize(FrameBatch(batch, [received for received, _, _ in part]))
        assert (result.yielding, list(result.rejected)) == (len(part), [])
        for name, records in result.records.items():
            rows[name] += records.to_pylist()
    for name, stored in rows.items():
        want = issued.records(name)
        assert [{k: row[k] for k in want[0]} for row in stored] == want
    return {name: len(stored) for name, stored in rows.items()}


def test_the_normalizer_agrees_with_the_oracle_on_a_generated_tape() -> None:
    events = [event for event in tape(trades=3000) if event.sound]
    counts = agree([(NOW_MS * 10**6 + n, e.stream, e.rendered(NOW_MS)) for n, e in enumerate(events)])
    assert counts == {"trades": 3000, "quotes": 6000}


def test_the_normalizer_agrees_with_the_oracle_on_recordings(recording: Path) -> None:
    """With `K2_RECORDINGS` on real frames, otherwise on a small generated file."""
    for file in sorted(Path(os.environ.get("K2_RECORDINGS", recording.parent)).glob("*.gz")):
        events = [e for e in recorded(file, rate=0) if e.stream.endswith(("@trade", "@bookTicker"))]
        counts = agree([(NOW_MS * 10**6, e.stream, e.payload) for e in events])
        text = gzip.decompress(file.read_bytes())
        assert counts == {"trades": text.count(b'@trade"'), "quotes": text.count(b'@bookTicker"')}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    lines = [b"%d %b\n" % (1000 - n, wrapped(event)) for n, event in enumerate(tape(malformed=0, trades=20))]
    lines.append(b'999 {"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate"}}\n')
    lines.append(b'999 {"lastUpdateId":1,"bids":[],"asks":[]}\n')
    path = tmp_path / "some.gz"
    path.write_bytes(gzip.compress(b"".join(lines)))
    return path


def test_a_recording_is_a_tape(recording: Path) -> None:
    events = recorded(recording, rate=100)
    assert len(events) == 61  # the snapshot is no frame
    assert [event.at for event in events[:3]] == [0, 0.01, 0.02]
    assert symbols_of(events) == sorted(
        {event.stream.split("@")[0].upper() for event in events if "depth" not in event.stream}
    )
    assert recorded(recording.parent, rate=0)[-1].at == 0


def test_malformed_frames_are_added_to_a_recording(recording: Path) -> None:
    events = with_malformed(recorded(recording, rate=0), 3)
    broken = [event for event in events if not event.sound]
    assert len(broken) == 3
    assert all(json.loads(event.payload) for event in broken)  # whole still: playing breaks them off


def test_no_recording_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.gz file"):
        recorded(tmp_path, rate=0)
    (tmp_path / "broken.gz").write_bytes(b"not gzip")
    with pytest.raises(ConfigError, match=r"broken\.gz"):
        recorded(tmp_path, rate=0)


def test_the_oracle_refuses_what_no_double_holds() -> None:
    issued = Issued(LocalBinance(LocalBinanceSettings(trades=0)).meaning)
    issued.note(b'{"u":1,"s":"B","b":"0.12345678901234567891","B":"1","a":"1","A":"1"}')
    with pytest.raises(ValueError, match="no double"):
        issued.records("quotes")
