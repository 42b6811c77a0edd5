"""`docs/plugins.md` against the code: hooks, interfaces, the test kit; and its example, run with all of k2 around it."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import json
import pathlib
import re
import sys

import pytest

import k2core.plugin
import k2core.testing
from k2core import hookspecs
from k2core.discovery.collect import HOOKS
from k2core.testing import FakeExchange
from tests.docs.pages import DOCS, ROOT, blocks, missing
from tests.docs.shell import Shell

PAGE = (DOCS / "plugins.md").read_text()
EXAMPLE = DOCS / "examples" / "coin_exchange.py"
BASES = [c for n in k2core.plugin.__all__ if inspect.isabstract(c := getattr(k2core.plugin, n))]


def test_every_hook_is_on_the_page_with_its_signature() -> None:
    shown = {line.replace("\\|", "|") for line in re.findall(r"^\| `(def .+?)` \|", PAGE, re.MULTILINE)}
    specs = [getattr(hookspecs, name) for name in HOOKS]
    assert shown == {f"def {s.__name__}() -> {s.__annotations__['return']}" for s in specs}


@pytest.mark.parametrize("base", BASES, ids=lambda b: b.__name__)
def test_every_interface_has_a_paragraph_that_names_its_methods(base: type) -> None:
    found = [p for p in PAGE.split("\n\n") if p.startswith("**") and f"**`{base.__name__}`**" in p.partition(":")[0]]
    assert len(found) == 1
    methods = {n for n, m in vars(base).items() if inspect.isfunction(m) and not n.startswith("_")}
    assert {n for n in methods if not re.search(rf"`(\w+\.)?{n}`", found[0])} == set()


def test_the_test_kit_is_on_the_page() -> None:
    assert [name for name in k2core.testing.__all__ if name not in PAGE] == []


def test_the_blocks_of_the_page_work() -> None:
    with Shell(ROOT) as shell:
        for block in blocks(DOCS / "plugins.md"):
            if block.language == "python":
                code, out = shell.python(block.text)
                assert code == 0, out
            for command, expected in block.commands if block.language == "console" else ():
                code, out = shell.run(command)
                assert (code, missing(expected, out)) == (0, None), out


def test_the_example_is_listed_with_its_file() -> None:
    with Shell(ROOT) as shell:
        code, out = shell.run(f"k2 --plugin {EXAMPLE} plugins --json")
    entries = [e for e in json.loads(out) if e["distribution"] == EXAMPLE.name]
    assert code == 0
    assert {(e["kind"], e["name"], e["state"]) for e in entries} == {
        ("connector", "coin", "ok"), ("normalizer", "coin", "ok"),
    }  # fmt: skip


async def test_the_example_captures_from_socket_to_answer(tmp_path: pathlib.Path) -> None:
    spec = importlib.util.spec_from_file_location("coin_dialect", DOCS / "examples" / "coin_dialect.py")
    assert spec
    assert spec.loader
    dialect = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(dialect)
    async with FakeExchange(dialect.CoinDialect()) as exchange:
        (tmp_path / "k2.toml").write_text(f'[connectors.coin]\nsymbols = ["AAA"]\nwebsocket_url = "{exchange.url}"\n')
        k2 = [sys.executable, "-m", "k2core.cli.main", "--plugin", str(EXAMPLE)]
        ingest = await asyncio.create_subprocess_exec(*k2, "ingest", cwd=tmp_path, stderr=asyncio.subprocess.PIPE)
        try:
            await exchange.wait_subscribed({"AAA"}, timeout=60)
            trade = '{"s":"AAA","n":%d,"p":"1.5","q":"2","b":false,"t":1700000000000}'
            await exchange.send("AAA", [(trade % n).encode() for n in range(100)] + [b"garbage"])
        finally:
            ingest.terminate()
            _, said = await asyncio.wait_for(ingest.communicate(), 60)
        assert ingest.returncode == 0, said
        asked = await asyncio.create_subprocess_exec(
            *k2, "query", "trades", "--limit", "500", "--json", cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        answer = json.loads((await asyncio.wait_for(asked.communicate(), 60))[0])
    assert sorted(int(row["trade_id"]) for row in answer["trades"]) == list(range(100))
    assert {(row["exchange"], row["side"]) for row in answer["trades"]} == {("coin", "sell")}
