"""Every text in the source, so that a page which quotes a message can be held to it."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

from tests.docs.pages import ROOT


def quotes(message: str) -> bool:
    """Whether some text in the source has all parts of a message in one; `…` parts them."""
    parts = [squeezed(part) for part in message.split("…") if len(part.strip()) > 2]
    return any(all(part in text for part in parts) for text in texts())


def squeezed(text: str) -> str:
    return " ".join(text.replace("`", "").split())


@functools.cache
def texts() -> list[str]:
    return [squeezed(text) for text in literals()]


def literals() -> Iterator[str]:
    """Every text in the source, with `…` where a value goes."""
    for path in [*ROOT.glob("k2core/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(p.value) if isinstance(p, ast.Constant) else "…" for p in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"%(\.\d)?[sdfg]", "…", node.value)
