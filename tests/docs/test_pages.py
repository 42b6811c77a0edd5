"""Every page: each console, Python and settings block of it is run, in order; its links lead somewhere.

A page is run once, by the worker that its group falls to. What cannot be run here says why on the line before it:
`<!-- not run: needs the internet -->`; no other reason counts.
"""

from __future__ import annotations

import pathlib
import re

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, blocks, edited, missing, name, shown
from tests.docs.shell import Shell

REASONS = {
    "needs the internet", "needs a live exchange", "needs a Kafka", "takes a minute, tests/e2e runs it",
    "takes half a minute, tests/e2e runs it", "takes half an hour", "a part of prometheus.yml", "one line of a log",
}  # fmt: skip
"""Why a block is not run; those of Kafka are the commands of `plugins/k2-plugin-kafka/tests/test_kafka_end_to_end.py`."""
BLOCKS = [block for page in PAGES for block in blocks(page)]
LINKED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES, *sorted(ROOT.glob("plugins/*/*.md"))]


@pytest.mark.timeout(900)  # the first test of a page runs all of it
@pytest.mark.parametrize(
    ("page", "line"),
    [
        pytest.param(b.page, b.line, id=f"{b.page} line {b.line}", marks=pytest.mark.xdist_group(f"docs-{b.page}"))
        for b in BLOCKS
        if b.run
    ],
)
def test_a_block_works(ran, page: str, line: int) -> None:
    found = ran(page).results[line]
    assert found is None, found


def test_only_what_needs_the_world_is_not_run() -> None:
    assert {b.of for b in BLOCKS if b.said == "not run"} <= REASONS
    assert [f"{b.page} line {b.line}" for b in BLOCKS if not b.run and b.language in ("", "bash", "sh", "shell")] == []


def test_shown_output_is_compared_word_by_word() -> None:
    assert shown("1 dead letter").search("  1 dead letter")
    assert shown('{"count": "trades": [{…').search('{"count": 3, "trades": [{"symbol"')
    assert missing(["symbol price"], "symbol  exchange  price\n") is None
    assert missing(["symbol price"], "price  symbol\n") == "symbol price"
    assert missing(["quotes market.quotes"], "quotes  market.trades\n") is not None


def test_an_edit_fits_at_one_place_or_not_at_all() -> None:
    assert edited("a\nb\nc\n", " a\n-b\n+B\n@@\n-c") == "a\nB\n"
    for diff in ("-d", " b\n c", "-b"):
        with pytest.raises(ValueError, match="not in the file, or more than once"):
            edited("a\nb\nb\n", diff)


def test_a_renamed_command_would_be_noticed(tmp_path: pathlib.Path) -> None:
    with Shell(tmp_path) as shell:
        assert shell.run("k2 querry trades")[0] == 2


@pytest.mark.parametrize("page", LINKED, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    targets = [t for t in re.findall(r"\]\(([^)#\s]+)", page.read_text()) if "://" not in t]
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    own = [page for page in PAGES if page.name != "README.md"]
    assert [name(page) for page in own if f"({name(page)})" not in index] == []
