"""A full disk, the size limit, a disk that fails to sync: typed errors, nothing torn, and on it goes when space returns."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from k2core.broker.embedded import EmbeddedBroker
from k2core.errors import LogFullError
from k2core.testing.clock import ManualClock
from tests.integration.broker.log_world import ROOT, TOPIC, a_topic, batch, numbers_of, read_all

ON_A_SMALL_DISK = """
import pathlib, sys
from k2core.errors import LogFullError
from tests.integration.broker.log_world import a_topic, batch, numbers_of, read_all
folder = pathlib.Path(sys.argv[1])
ballast = folder / "ballast"
with a_topic(folder, wal_bytes=1 << 20) as log:
    producer, number, refused = log.producer(), 0, 0
    ballast.write_bytes(bytes(1 << 20))
    for turn in range(4):
        while True:
            try:
                producer.produce([batch(range(number, number + 100), size=400)])
                number += 100
            except LogFullError as error:
                assert "no space left" in str(error), error
                refused += 1
                break
        assert sorted(numbers_of(read_all(log))) == list(range(number)), "refused appends left something behind"
        ballast.write_bytes(bytes((1 << 20) - (turn + 1) * (200 << 10)))
with a_topic(folder) as log:
    assert sorted(numbers_of(read_all(log))) == list(range(number))
print("refused", refused, "appended", number)
"""

FAILING_SYNC = """
import pathlib, sys
from k2core.broker.database import LogWriteError
from k2core.errors import Permanent
from tests.integration.broker.log_world import a_topic, batch
with a_topic(pathlib.Path(sys.argv[1])) as log:
    producer = log.producer()
    for number in range(0, 4000, 4):
        try:
            producer.produce([batch(range(number, number + 4))])
        except LogWriteError as error:
            assert isinstance(error, Permanent) and "stop this process" in str(error)
            first = error
            break
        print(number + 4, flush=True)
    else:
        sys.exit("no sync failed")
    try:
        producer.produce([batch(range(4))])
    except LogWriteError as again:
        assert again is first
    else:
        sys.exit("a failed sync was tried again")
print("refused", flush=True)
"""


def test_a_full_disk_is_a_typed_error_and_appending_resumes(tmp_path: pathlib.Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = f'mount -t tmpfs -o size=4m none {disk} && exec "$0" -c "$1" {disk}'
    as_root = ["sh"] if os.geteuid() == 0 else ["unshare", "-rm", "sh"]
    asked = ["unshare", "-m", *as_root] if os.geteuid() == 0 else as_root
    found = subprocess.run(
        [*asked, "-c", mounted, sys.executable, ON_A_SMALL_DISK], capture_output=True, text=True, cwd=ROOT
    )
    if "mount:" in found.stderr or "unshare:" in found.stderr:
        pytest.skip(f"no small disk can be mounted here: {found.stderr.strip()}")
    assert found.returncode == 0, found.stderr
    words = found.stdout.split()
    assert words[0] == "refused"
    assert int(words[1]) == 4
    assert int(words[3]) >= 2000


def test_a_failed_sync_stops_the_producer_for_good_and_loses_nothing_acknowledged(tmp_path: pathlib.Path) -> None:
    with a_topic(tmp_path):
        pass  # laid out, so that the next process syncs little but its appends
    if shutil.which("strace") is None:
        pytest.skip("strace, which makes a sync fail, is not installed")
    fault = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO:when=25"]
    asked = ["strace", "-f", "-qq", "-o", os.devnull, *fault, sys.executable, "-c", FAILING_SYNC, str(tmp_path)]
    found = subprocess.run(asked, capture_output=True, text=True, cwd=ROOT)
    if "ptrace" in found.stderr.lower():
        pytest.skip(f"strace may not trace here: {found.stderr.strip()}")
    assert found.returncode == 0, found.stderr
    lines = found.stdout.split()
    assert lines[-1] == "refused"
    promised = int(lines[-2])
    with a_topic(tmp_path) as log:
        got = numbers_of(read_all(log))
        assert sorted(got)[:promised] == list(range(promised))
        assert len(got) == len(set(got))


def fill(log: EmbeddedBroker) -> int:
    """Append until it refuses; the first number that it refused."""
    producer, number = log.producer(), 0
    try:
        while number < 1 << 20:
            producer.produce([batch(range(number, number + 100), size=100)])
            number += 100
    except LogFullError:
        return number
    raise AssertionError("it never refused")


def test_at_its_size_limit_it_refuses_until_a_consumer_releases(tmp_path: pathlib.Path) -> None:
    clock = ManualClock()
    with a_topic(tmp_path, clock, retention_bytes=1 << 20, slack_hours=0.5) as log:
        log.register("lake", [TOPIC])
        producer, number = log.producer(), fill(log)
        with pytest.raises(LogFullError, match=r"size limit \(retention_bytes = 1048576\).*start the writer or raise"):
            producer.produce([batch(range(number, number + 100), size=100)])
        assert 5_000 < number < 12_000
        assert len(numbers_of(read_all(log))) == number
        log.release("lake", {(TOPIC, p): number // 8 for p in range(4)})
        with pytest.raises(LogFullError):
            producer.produce([batch(range(number, number + 100), size=100)])  # released less than the slack ago
        clock.advance(1801)
        for more in range(number, number + 2000, 100):
            producer.produce([batch(range(more, more + 100), size=100)])
        assert (tmp_path / "log.db").stat().st_size <= (1 << 20) + (64 << 10)
        gone = set(log.starts([TOPIC]).values())
        assert all(0 < offset <= number // 8 for offset in gone), "only what was released went"
