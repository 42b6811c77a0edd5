"""`docs/http-api.md` against the application: every route and parameter, every problem type, every format, both ways."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

from k2core.admission import Admission
from k2core.api import openapi
from k2core.api.app import create_app
from k2core.api.formats import MEDIA_TYPES
from k2core.api.keys import Auth
from k2core.api.problems import _KINDS
from k2core.api.readiness import Readiness
from k2core.clock import SystemClock
from k2core.config.settings import ApiSettings, QuerySettings
from k2core.interfaces.frames import ChannelFacts
from k2core.query.cursor import Cursors
from k2core.query.service import QueryService
from k2core.query.tail import Tail
from k2core.records.builtin import QUOTES, TRADES
from k2core.telemetry.metrics import Metrics
from k2core.testing.memory_log import MemoryLog
from k2core.testing.memory_table import MemoryTable
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "http-api.md").read_text()
HEADING = re.compile(r"^###? (.*)$", re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| (.*) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def service() -> QueryService:
    clock, metrics, settings, types = SystemClock(), Metrics(), QuerySettings(), [QUOTES, TRADES]
    log, tables = MemoryLog(clock), {d.name: MemoryTable(d) for d in types}
    tails = {
        d.name: Tail(d, Admission(d, {"binance": ChannelFacts(ids="contiguous")}), log, tables[d.name],
                     [f"market.crypto.{d.name}.binance"], settings, clock, metrics)
        for d in types
    }  # fmt: skip
    return QueryService(types, tables, tails, log, settings, clock, Cursors(b"a key"))


def documented() -> dict[str, dict[str, str]]:
    """Path → parameter → meaning, as the page has them."""
    found: dict[str, dict[str, str]] = {}
    pieces = HEADING.split(PAGE)[1:]
    for heading, body in zip(pieces[::2], pieces[1::2], strict=True):
        table = body.partition("| parameter |")[2].partition("\n\n")[0]
        for path in re.findall(r"GET (/\S*?)`", heading):
            found[path] = dict(ROW.findall(table))
    return found


def test_every_route_is_on_the_page_and_every_one_on_the_page_exists(service, tmp_path: pathlib.Path) -> None:
    ready = Readiness({}, tmp_path, 15, service.clock)
    app = create_app(service, Auth(), ApiSettings(), ready, Metrics())
    assert {route.path for route in app.routes} == set(documented())


def test_every_parameter_is_on_the_page_in_the_words_of_the_document(service) -> None:
    paths = openapi.document(service)["paths"]
    pages = documented()
    for path, methods in paths.items():
        wanted = {p["name"]: p["description"] for p in methods["get"]["parameters"]}
        assert pages[path] == wanted, path
    assert all(not given for path, given in pages.items() if path not in paths)


def test_every_format_is_on_the_page() -> None:
    table = PAGE.partition("| `format` | media type |")[2].partition("\n\n")[0]
    assert dict(re.findall(r"\| `(\w+)` \| `(\S+)` \|", table)) == MEDIA_TYPES


def test_every_problem_type_is_on_the_page() -> None:
    table = PAGE.partition("| type | status | when |")[2]
    named = set(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE))
    assert named == raised() | set(_KINDS.values())


def raised() -> set[str]:
    """Every `kind` that an error of the service can have, by reading the source."""
    folders = [ROOT / "k2core" / "api", ROOT / "k2core" / "query", *ROOT.glob("plugins/*/src")]
    kinds = {"invalid-parameter"}  # what a `QueryError` is where none is named
    for node in (n for folder in folders for p in folder.rglob("*.py") for n in ast.walk(ast.parse(p.read_text()))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("QueryError"):
            kinds |= {str(ast.literal_eval(k.value)) for k in node.keywords if k.arg == "kind"}
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "problem"
            and isinstance(node.args[2], ast.Constant)
        ):
            kinds.add(str(node.args[2].value))
    return kinds
