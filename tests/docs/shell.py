"""One shell and one folder for all commands of a page, as for somebody who types them. What a page installs is there alone."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import Self

from tests.services.process import die_with_parent

END = "k2-docs-command-ended"


class Shell:
    """A bash that runs commands one after the other, and takes down what they started when it is left."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("K2_", "PYTEST_"))}
        self._site = tempfile.TemporaryDirectory(prefix="k2-docs-", ignore_cleanup_errors=True)
        site = installing(pathlib.Path(self._site.name))
        path = [str(site), str(pathlib.Path(sys.executable).parent), clean.get("PATH", "")]
        own = {"HOME": str(folder), "PYTHONPATH": str(site), "DOCS_SITE": str(site), "COLUMNS": "200"}
        self._env = {**clean, **own, "PATH": os.pathsep.join(path)}

    def __enter__(self) -> Self:
        self._bash = subprocess.Popen(
            ["bash", "--norc"], cwd=self.folder, env=self._env, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent,
        )  # fmt: skip
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        self._bash.communicate()
        self._site.cleanup()

    def run(self, command: str, within_s: float = 600) -> tuple[int, str]:
        """Exit code and all that was printed, on stdout and stderr."""
        pipe, out = self._bash.stdin, self._bash.stdout
        assert pipe
        assert out
        pipe.write(f"{command}\nprintf '\\n{END} %d\\n' $?\n")
        pipe.flush()
        guard = threading.Timer(within_s, self._kill)
        guard.start()
        lines: list[str] = []
        for line in out:
            if line.startswith(END):
                guard.cancel()
                return int(line.split()[1]), "".join(lines)
            lines.append(line)
        guard.cancel()
        raise AssertionError(f"{command}: the shell ended, or took more than {within_s} s, after: {''.join(lines)}")

    def python(self, text: str) -> tuple[int, str]:
        """A Python block, in an interpreter of its own."""
        done = subprocess.run(
            [sys.executable, "-c", text], cwd=self.folder, env=self._env, capture_output=True, text=True, timeout=240,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def _kill(self) -> None:
        try:
            os.killpg(self._bash.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has ended already


def installing(site: pathlib.Path) -> pathlib.Path:
    """A folder for what a page installs, with the `pip` that does it; what it holds is found as if it were installed."""
    here = "import pathlib, site\nsite.addsitedir(str(pathlib.Path(__file__).parent))\n"
    (site / "sitecustomize.py").write_text(here)
    standin = pathlib.Path(__file__).with_name("pip_standin.py")
    (site / "pip").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{standin}" "$@"\n')
    (site / "pip").chmod(0o755)
    return site
