"""`Printed`: what a plugin prints while it is loaded goes to stderr with its name, so that `--json` stays JSON."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from types import TracebackType
from typing import BinaryIO, Self, cast


class Printed:
    """Catches stdout, Python's own and the descriptor that other programs inherit, for the length of a `with`.

    Attributes:
        text: What was printed, once it is over.
    """

    text = ""

    def __init__(self, by: str) -> None:
        self._by = by
        self._scratch = scratch()
        self._stdout = io.TextIOWrapper(self._scratch, "utf-8", errors="backslashreplace", line_buffering=True)
        self._redirect = contextlib.redirect_stdout(self._stdout)
        self._kept: int | None = None

    def __enter__(self) -> Self:
        flush()
        with contextlib.suppress(OSError):  # started without a stdout: nothing to keep clean
            self._kept = os.dup(1)
            os.dup2(self._scratch.fileno(), 1)
        self._redirect.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        flush()  # what is still buffered was printed here too
        self._redirect.__exit__(kind, error, trace)
        if self._kept is not None:
            flush()
            os.dup2(self._kept, 1)
            os.close(self._kept)
        self._scratch.seek(0)
        self.text = self._scratch.read().decode("utf-8", "backslashreplace").strip()
        self._stdout.close()
        for line in self.text.splitlines():
            sys.stderr.write(f"{self._by} printed: {line}\n")


def scratch() -> BinaryIO:
    """A file without a name, in memory where the system has that."""
    if hasattr(os, "memfd_create"):
        return cast("BinaryIO", os.fdopen(os.memfd_create("k2-printed"), "w+b"))
    return cast("BinaryIO", tempfile.TemporaryFile())


def flush() -> None:
    """Empty the buffers of stdout; a stream that is closed or gone has none."""
    for stream in (sys.stdout, sys.__stdout__):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
