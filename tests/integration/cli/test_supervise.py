"""Minding real processes: restart, fenced, wedged, wrong settings, order of stopping, second signal, kill -9 of up."""

from __future__ import annotations

import os
import pathlib
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from k2core.telemetry.status import read_statuses

STUB_UP = pathlib.Path(__file__).with_name("stub_up.py")
LIMIT = 120.0


class Up:
    """A running stub of `k2 up`, and what it says."""

    def __init__(self, folder: pathlib.Path, *behaviours: str, drain: float = 20) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, str(STUB_UP), str(folder), str(drain), *behaviours], stdout=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            for line in out:
                self._said.put(line.strip())
        self._said.put("")

    def hear(self, words: str) -> str:
        """The next line that holds these words."""
        deadline = time.monotonic() + LIMIT
        while (line := self._said.get(timeout=deadline - time.monotonic())) != "":
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"never said {words!r}, but {self.lines}")

    def ready(self, *names: str) -> None:
        """Wait until these children have published a status."""
        wait_for(lambda: set(names) <= set(read_statuses(self.folder)))

    def pids(self) -> list[int]:
        return [status.pid for status in read_statuses(self.folder).values()]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = pathlib.Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def make(*behaviours: str, drain: float = 20) -> Up:
        started.append(Up(tmp_path, *behaviours, drain=drain))
        return started[-1]

    yield make
    for up in started:
        up.process.kill()
        up.process.wait()


def test_one_that_dies_is_started_again_visibly(start: Callable[..., Up]) -> None:
    up = start("good", "dies-twice", "good")
    assert "write died (exit code 1); starting it again in 0.05 s: life 2" in up.hear("life 2")
    up.hear("life 3")
    up.ready("ingest", "write", "serve")
    killed = read_statuses(up.folder)["ingest"].pid
    os.kill(killed, signal.SIGKILL)
    assert "ingest died (killed by SIGKILL)" in up.hear("life 2")
    wait_for(lambda: read_statuses(up.folder)["ingest"].pid != killed)


def test_a_fenced_one_stays_away_and_says_who_took_over(start: Callable[..., Up]) -> None:
    up = start("good", "fenced", "good")
    line = up.hear("fenced")
    assert line == "write was fenced and is not started again: writer 7f3a on host b (pid 4711) took over"
    up.ready("ingest", "serve")
    wait_for(lambda: (told := read_statuses(up.folder).get("write")) and "fenced, nothing is written" in told.detail)
    up.process.send_signal(signal.SIGTERM)
    up.hear("ended 4")
    assert (up.folder / "write.lives").read_text() == "x"


def test_wrong_settings_stop_everything(start: Callable[..., Up]) -> None:
    up = start("good", "settings", "good")
    assert up.hear("cannot run") == "write cannot run: k2.toml: api.prot: unknown key"
    up.hear("ended 2")
    assert up.process.wait(LIMIT) == 2


def test_a_wedged_one_is_killed_and_started_again(start: Callable[..., Up]) -> None:
    up = start("wedges-once", "good", "good")
    assert "has said nothing for" in up.hear("wedged")
    up.hear("ingest died (killed by SIGKILL); starting it again")
    wait_for(lambda: (up.folder / "ingest.lives").read_text() == "xx")
    up.process.send_signal(signal.SIGTERM)
    up.hear("counted k2_up_child_deaths_total ingest wedged 1")


def test_they_are_stopped_in_order(start: Callable[..., Up]) -> None:
    up = start("good", "good", "good")
    up.ready("ingest", "write", "serve")
    up.process.send_signal(signal.SIGINT)
    up.hear("ended 0")
    assert (up.folder / "order").read_text().split() == ["ingest", "write", "serve"]
    assert up.process.wait(LIMIT) == 0


def test_what_does_not_end_in_time_is_cut_short_and_named(start: Callable[..., Up]) -> None:
    up = start("good", "deaf", "good", drain=5)
    up.ready("ingest", "write", "serve")
    up.process.send_signal(signal.SIGTERM)
    assert up.hear("ended") == "ended 0 write"
    assert (up.folder / "order").read_text().split() == ["ingest", "serve"]


def test_a_second_signal_ends_at_once(start: Callable[..., Up]) -> None:
    up = start("deaf", "deaf", "deaf", drain=1000)
    up.ready("ingest", "write", "serve")
    pids = up.pids()
    up.process.send_signal(signal.SIGTERM)
    up.hear("stopping ingest")
    up.process.send_signal(signal.SIGTERM)
    assert up.hear("ended") == "ended 0 ingest,write,serve"
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.parametrize("frozen", [False, True])
def test_children_die_with_a_killed_up(start: Callable[..., Up], frozen: bool) -> None:
    up = start("good", "deaf", "good")
    up.ready("ingest", "write", "serve")
    pids = up.pids()
    if frozen:
        os.kill(pids[0], signal.SIGSTOP)
    up.process.kill()
    wait_for(lambda: all(is_gone(pid) for pid in pids))
    assert len(pids) == 3
