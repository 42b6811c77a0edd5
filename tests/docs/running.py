"""Runs a page from its first block to its last, in one folder and one shell, as somebody who types it all."""

from __future__ import annotations

import pathlib
import tomllib
from dataclasses import dataclass, field

from k2core.cli.demo_exchange import free_port
from tests.docs.pages import DOCS, Block, blocks, missing, put
from tests.docs.shell import Shell

PORTS = ("8123", "8124")


@dataclass
class Run:
    """What became of a page: its folder, and every block's result by line (None: it worked)."""

    folder: pathlib.Path
    results: dict[int, str | None] = field(default_factory=dict)


def run_page(page: str, folder: pathlib.Path) -> Run:
    """Run a page. `docs` in the folder is the documentation, as in a clone of the repository."""
    run = Run(folder)
    (folder / "docs").symlink_to(DOCS)
    ports = {port: str(free_port()) for port in PORTS}
    with Shell(folder) as shell:
        for block in (b for b in blocks(DOCS / page) if b.run):
            try:
                run.results[block.line] = outcome(shell, block, ports)
            except (AssertionError, ValueError, OSError) as error:
                run.results[block.line] = str(error)
    return run


def outcome(shell: Shell, block: Block, ports: dict[str, str]) -> str | None:
    """Do what a block says; what went wrong, or None."""
    if block.said in ("file", "edit"):
        put(block, shell.folder)
        return None
    if block.language == "python":
        code, out = shell.python(block.text)
        return None if code == 0 else f"exit code {code}: {out[-3000:]}"
    return of_settings(shell, block) if block.language == "toml" else of_commands(shell, block, ports)


def of_settings(shell: Shell, block: Block) -> str | None:
    """Settings that a page shows are in `k2.toml` from there on, and have no mistake."""
    assert tomllib.loads(block.text)
    (shell.folder / "k2.toml").write_text(block.text)
    code, out = shell.run(f"k2 --config {shell.folder}/k2.toml config check")
    return None if code == 0 and "no mistake found" in out else out[-3000:]


def of_commands(shell: Shell, block: Block, ports: dict[str, str]) -> str | None:
    """Each command ends as it is said to, and prints what is shown. A block that `fails` ends with a failure."""
    for number, (command, expected) in enumerate(block.commands, 1):
        for shown, free in ports.items():
            command = command.replace(shown, free)
        code, out = shell.run(command)
        fails = block.said == "fails" and number == len(block.commands)
        if bool(code) != fails:
            return f"$ {command}\nexit code {code}: {out[-3000:]}"
        if (line := missing(expected, out)) is not None:
            return f"$ {command}\ndid not print {line!r} but: {out[-3000:]}"
    return None
