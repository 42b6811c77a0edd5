"""Makes `docs/examples/k2-plugin-bitstamp` out of `docs/connector-tutorial.md`: what `k2 plugin new` writes, with the files
and edits of the page put in. `python -m tests.docs.build_example` after a change of either.
"""

from __future__ import annotations

import pathlib
import shutil

from k2core.scaffold.new import write
from tests.docs.pages import DOCS, blocks, put

PAGE = DOCS / "connector-tutorial.md"
PROJECT = "k2-plugin-bitstamp"
EXAMPLE = DOCS / "examples" / PROJECT


def start(folder: pathlib.Path) -> pathlib.Path:
    """The project as `k2 plugin new` writes it."""
    write("bitstamp", "connector", folder)
    return folder / PROJECT


def build(folder: pathlib.Path) -> pathlib.Path:
    """The project as the page leaves it; nothing is run."""
    project = start(folder)
    for block in blocks(PAGE):
        if block.said in ("file", "edit"):
            put(block, folder)
    return project


if __name__ == "__main__":
    shutil.rmtree(EXAMPLE, ignore_errors=True)
    build(EXAMPLE.parent)
