"""The tutorial, run once from its first line to its last; other pages' tests use what it left."""

from __future__ import annotations

import pathlib
import shutil
from dataclasses import dataclass

import pytest

from tests.docs.pages import DOCS, Block, blocks, missing
from tests.docs.shell import Shell, free_port

PORT = "8123"


@dataclass
class Run:
    """What became of the tutorial: its folder, and every block's result by line (None: it worked)."""

    folder: pathlib.Path
    results: dict[int, str | None]


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Run:
    if not (shutil.which("bash") and shutil.which("curl")):
        pytest.skip("the tutorial is for a shell with bash and curl")
    run = Run(tmp_path_factory.mktemp("tutorial"), {})
    port = str(free_port())
    with Shell(run.folder) as shell:
        for block in blocks(DOCS / "tutorial.md"):
            if block.run and block.language in ("console", "python"):
                run.results[block.line] = ran(shell, block, port)
    return run


def ran(shell: Shell, block: Block, port: str) -> str | None:
    """Run one block; what went wrong, or None."""
    if block.language == "python":
        code, out = shell.python(block.text)
        return None if code == 0 else f"exit code {code}: {out[-3000:]}"
    for command, expected in block.commands:
        code, out = shell.run(command.replace(PORT, port))
        if code:
            return f"$ {command}\nexit code {code}: {out[-3000:]}"
        if (line := missing(expected, out)) is not None:
            return f"$ {command}\ndid not print {line!r} but: {out[-3000:]}"
    return None
