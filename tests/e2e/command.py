"""One `k2` command, run to its end; one that hangs says where."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys


def run_k2(
    settings: pathlib.Path, *arguments: str, within_s: float = 240, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run `k2 --config …` beside its settings.

    Raises:
        AssertionError: It took too long; with what it said, and every thread's stack.
    """
    command = [sys.executable, "-m", "k2core.cli.main", "--config", str(settings), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=settings.parent,
        env=os.environ | {"PYTHONFAULTHANDLER": "1"} | env,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out, err = process.communicate(timeout=30)
            raise AssertionError(f"k2 {' '.join(arguments)} hung for {within_s:g} s\n{out}\n{err}") from None
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)
