"""`docs/plugins.md` against the code: hooks, interfaces, values, errors, the test kit; and its example, with all of k2."""

from __future__ import annotations

import asyncio
import importlib.util
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
from tests.docs.interface_tables import TABLE, filled, interfaces
from tests.docs.pages import DOCS, ROOT
from tests.docs.shell import Shell

PAGE = (DOCS / "plugins.md").read_text()
EXAMPLE = DOCS / "examples" / "coin_exchange.py"


def section(name: str) -> str:
    """What the page says of an interface."""
    return PAGE.partition(f"\n### `{name}`\n")[2].partition("\n##")[0]


def test_every_table_is_as_the_code_has_it() -> None:
    assert filled(PAGE) == PAGE, "run `python -m tests.docs.interface_tables`, and look at what it changed"
    assert set(TABLE.findall(PAGE)) == {"hooks", "values", "errors", "the rest", *interfaces()}


def test_a_table_has_whole_signatures() -> None:
    shown = {line.replace("\\|", "|") for line in re.findall(r"^\| `(def k2_.+?)` \|", PAGE, re.MULTILINE)}
    assert shown == {f"def {n}() -> {getattr(hookspecs, n).__annotations__['return']}" for n in HOOKS}
    assert "`async def get(self, url: str, params: Mapping[str, str] \\| None = None) -> RestResponse`" in PAGE
    assert "Raises `LogFullError`, `LogBusyError`, `BrokerError`." in section("Producer")


@pytest.mark.parametrize("name", sorted(interfaces()))
def test_every_interface_has_its_contract(name: str) -> None:
    said = section(name)
    for question in ("Threads", "May block", "Errors", "Units"):
        assert re.search(rf"^- \*\*{question}:\*\* \S.+\.$", said, re.MULTILINE), question
    own = [word for word in re.findall(r"`(\w+Error)`", said) if word not in k2core.plugin.__all__]
    assert own == [], "the page names errors that authors do not get"


def test_every_name_that_authors_get_is_on_the_page() -> None:
    assert [name for name in k2core.plugin.__all__ if not re.search(rf"\b{name}\b", PAGE)] == []


def test_the_test_kit_is_on_the_page() -> None:
    assert [name for name in k2core.testing.__all__ if name not in PAGE] == []


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
            _, said = await asyncio.wait_for(ingest.communicate(), 120)
        assert ingest.returncode == 0, said
        asked = await asyncio.create_subprocess_exec(
            *k2, "query", "trades", "--limit", "500", "--json", cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        answer = json.loads((await asyncio.wait_for(asked.communicate(), 120))[0])
    assert sorted(int(row["trade_id"]) for row in answer["trades"]) == list(range(100))
    assert {(row["exchange"], row["side"]) for row in answer["trades"]} == {("coin", "sell")}
