"""Files of raw frames: what goes in comes out, whatever happens to the file in between is seen."""

from __future__ import annotations

import gzip
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from k2core.errors import ConfigError
from k2core.interfaces.frames import FrameBatch
from k2core.recording.checking import report
from k2core.recording.names import digest_file, recordings
from k2core.recording.reader import RecordingError, opened
from k2core.recording.settings import RecordingSettings
from k2core.recording.writer import RecordingWriter
from k2core.testing import ManualClock


def batch(first: int, count: int = 3, connection: int = 0) -> FrameBatch:
    """Frames that say their number."""
    numbers = range(first, first + count)
    return FrameBatch([b'{"n":%d}' % n * 9 for n in numbers], [10**18 + n for n in numbers], connection, first)


def writer(folder: Path, clock: ManualClock | None = None, **settings: Any) -> RecordingWriter:
    """One into `folder`."""
    made = RecordingSettings(path=folder, **settings)
    return RecordingWriter(made, "binance", "binance", ["trades"], clock or ManualClock())


def frames_of(path: Path) -> list[tuple[int, int, int, bytes]]:
    """Everything in a folder: connection, number, time, frame."""
    batches = [b for one in recordings(path) for b in opened(one).batches()]
    return [
        (b.connection, b.first_number + n, b.received_ns[n], frame) for b in batches for n, frame in enumerate(b.frames)
    ]


def rows(*batches: FrameBatch) -> list[tuple[int, int, int, bytes]]:
    """The same of batches."""
    return [
        (b.connection, b.first_number + n, b.received_ns[n], frame) for b in batches for n, frame in enumerate(b.frames)
    ]


def sealed_file(folder: Path, *batches: FrameBatch) -> Path:
    """One finished file."""
    one = writer(folder)
    for b in batches or (batch(0), batch(3)):
        one.write([b])
    one.close()
    return next(folder.rglob("*.arrows"))


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    several = [
        batch(0),
        batch(3, connection=1),
        batch(6, connection=1),
        batch(11),
        FrameBatch([b"", b"\x00\xff"], [1, 2]),
    ]
    one = writer(tmp_path)
    one.write(several[:2])
    one.write(several[2:])
    one.close()
    assert frames_of(tmp_path) == rows(*several)
    file = opened(next(tmp_path.rglob("*.arrows")))
    assert (file.exchange, file.data_types, file.sealed) == ("binance", ("trades",), True)


def test_others_read_the_file_without_k2(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, batch(0))
    with path.open("rb") as file:
        table = pa.ipc.open_stream(file).read_all()
    assert table.column_names == ["received_ns", "connection", "number", "frame"]
    assert table.num_rows == 3
    done = subprocess.run(["sha256sum", "-c", digest_file(path).name], cwd=path.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_files_are_rotated_by_size_and_by_age(tmp_path: Path) -> None:
    clock = ManualClock()
    one = writer(tmp_path, clock, file_bytes=1 << 20, file_s=60)
    one.write([batch(0)])
    clock.advance(61)
    one.write([batch(3)])
    one.write([batch(6)])
    assert len(list(tmp_path.rglob("*.arrows"))) == 1
    one.close()
    small = writer(tmp_path / "small", file_bytes=1024)
    for n in range(40):
        small.write([batch(3 * n)])
    small.close()
    assert len(list((tmp_path / "small").rglob("*.arrows"))) > 2
    assert frames_of(tmp_path / "small") == rows(*(batch(3 * n) for n in range(40)))


def test_a_file_left_by_a_crash_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write([batch(0)])
    whole = next(tmp_path.rglob("*.part")).stat().st_size
    one.write([batch(3)])
    path = next(tmp_path.rglob("*.part"))
    torn = path.read_bytes()
    for size in range(whole, len(torn)):
        path.write_bytes(torn[:size])
        assert frames_of(tmp_path) == rows(batch(0)), size
    path.write_bytes(torn)
    assert frames_of(tmp_path) == rows(batch(0), batch(3))
    assert report(path).state == "open"
    path.write_bytes(torn[:11])
    assert frames_of(tmp_path) == []


def test_damage_within_an_open_file_is_no_torn_end(tmp_path: Path) -> None:
    one = writer(tmp_path)
    ends = []
    for n in range(4):
        one.write([batch(3 * n)])
        ends.append(next(tmp_path.rglob("*.part")).stat().st_size)
    path = next(tmp_path.rglob("*.part"))
    sound = path.read_bytes()
    found = set()
    for at in range(ends[0], ends[2], 3):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 64]) + sound[at + 1 :])
        told = report(path)
        found.add(told.state)
        assert told.frames == 12 or told.state == "damaged", at
    assert "damaged" in found


def test_any_flipped_byte_of_a_sealed_file_is_found(tmp_path: Path) -> None:
    path = sealed_file(tmp_path)
    sound = path.read_bytes()
    for at in range(0, len(sound), 7):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 4]) + sound[at + 1 :])
        assert report(path).state == "damaged", at
    path.write_bytes(sound)
    assert report(path).state == "whole"


def test_without_its_digest_the_checksums_within_still_hold(tmp_path: Path) -> None:
    path = sealed_file(tmp_path)
    digest_file(path).unlink()
    assert report(path).state == "whole"
    sound = path.read_bytes()
    path.write_bytes(sound[: len(sound) // 2])
    assert report(path).state == "damaged"


def test_a_sealed_file_that_lost_its_end_between_two_blocks_is_damaged(tmp_path: Path) -> None:
    one = writer(tmp_path)
    one.write([batch(0)])
    cut = next(tmp_path.rglob("*.part")).stat().st_size
    one.write([batch(3)])
    one.close()
    path = next(tmp_path.rglob("*.arrows"))
    digest_file(path).unlink()
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(RecordingError, match="sealed with"):
        frames_of(path)


def test_old_and_surplus_files_go_and_the_newest_stays(tmp_path: Path) -> None:
    one = writer(tmp_path, file_bytes=1024, keep_bytes=3000)
    for n in range(60):
        one.write([batch(3 * n)])
    one.close()
    kept = frames_of(tmp_path)
    assert kept == rows(*(batch(3 * n) for n in range(60)))[-len(kept) :]
    assert 0 < sum(p.stat().st_size for p in tmp_path.rglob("*.arrows")) <= 3000
    assert len(list(tmp_path.rglob("*.sha256"))) == len(list(tmp_path.rglob("*.arrows")))


def test_lines_of_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "others.gz"
    path.write_bytes(gzip.compress(b'17 {"a":1}\n18 {"b": 2}\n'))
    assert frames_of(path) == [(0, 0, 17, b'{"a":1}'), (0, 1, 18, b'{"b": 2}')]
    assert report(path).state == "unproven"
    path.write_bytes(gzip.compress(b"17 {}\nnonsense\n"))
    with pytest.raises(RecordingError, match="line 2"):
        frames_of(path)
    path.write_bytes(gzip.compress(b"17 {}\n" * 999)[:-20])
    assert report(path).state == "damaged"


def test_what_is_no_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        recordings(tmp_path / "absent")
    with pytest.raises(ConfigError, match="no recording in it"):
        recordings(tmp_path)
    (tmp_path / "x.arrows").write_bytes(b"hello")
    with pytest.raises(ConfigError, match=r"x\.arrows is no recording"):
        opened(tmp_path / "x.arrows")


def test_a_write_that_fails_costs_its_own_block_only(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    one = writer(folder)
    one.write([batch(0)])
    assert one._open is not None
    one._open._file._file.close()
    with pytest.raises((OSError, ValueError)):
        one.write([batch(3)])
    one.write([batch(6)])
    one.close()
    assert frames_of(folder) == rows(batch(0), batch(6))
