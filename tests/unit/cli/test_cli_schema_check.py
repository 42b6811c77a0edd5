"""`k2 schema check`: within a lineage, against the log, against exported schemas; each mistake with field and place."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import pytest

from k2core.broker.specs import topic_spec
from k2core.cli.main import run
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.discovery import discover
from k2core.records.builtin import TRADES
from k2core.records.topics import Topic

CAPTURE = '[connectors.binance]\nsymbols = ["BTCUSDT"]\n'
TOPIC = Topic("crypto", "trades", "binance")
KIND = """
from k2core.plugin import Column, DataType, hookimpl

COLUMNS = (
    Column("symbol", "string"), Column("exchange", "string"), Column("exchange_timestamp_ms", "long"),
    Column("depth", "{kind}"), {more}
)

@hookimpl
def k2_data_types():
    return [DataType(name="books", summary="books", record_name="Book", versions={versions}, columns=COLUMNS)]
"""
Shown = Callable[..., tuple[int, str, str]]
Check = Callable[..., tuple[int, dict[str, dict[str, object]]]]


@pytest.fixture
def k2(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shown:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "k2.toml").write_text(CAPTURE)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture
def check(k2: Shown) -> Check:
    def call(*arguments: str) -> tuple[int, dict[str, dict[str, object]]]:
        code, out, _ = k2("schema", "check", "--json", *arguments)
        return code, {one["name"]: one for one in json.loads(out)}

    return call


def books(kind: str = "double", versions: int = 1, more: str = "") -> str:
    pathlib.Path("books.py").write_text(KIND.format(kind=kind, versions=versions, more=more))
    return "books.py"


def test_what_comes_with_k2_fits_and_nothing_is_made(check: Check, tmp_path: pathlib.Path) -> None:
    code, found = check()
    assert (code, [name for name, one in found.items() if not one["ok"]]) == (0, [])
    assert "3 versions, each reads all before it" in str(found["data type trades"]["detail"])
    assert [path.name for path in tmp_path.iterdir()] == ["k2.toml"]


def test_a_new_column_without_a_default_is_told(check: Check) -> None:
    code, found = check("--plugin", books(versions=2, more='Column("venue", "string", since=2)'))
    one = found["data type books v2"]
    assert (code, one["ok"]) == (1, False)
    assert "field venue: was not written, and has no default (books.py)" in str(one["detail"])
    assert "nullable column" in str(one["repair"])
    assert check("--plugin", books(versions=2, more='Column("venue", "string", True, since=2)'))[0] == 0


def in_log(*schemas: str) -> None:
    spec = topic_spec(TOPIC, TRADES)
    with Assembly(load_config(pathlib.Path("k2.toml"), env={}), discover()).broker() as log:
        log.ensure_topics([type(spec)(name=spec.name, partitions=16, subject=spec.subject, schemas=schemas)])


def test_a_log_of_an_older_k2_fits(check: Check) -> None:
    in_log(*topic_spec(TOPIC, TRADES).schemas[:2])
    code, found = check()
    assert (code, found["subject market.crypto.trades.binance-value"]["ok"]) == (0, True)


def test_a_log_with_other_schemas_does_not_fit(check: Check, k2: Shown) -> None:
    first = json.loads(topic_spec(TOPIC, TRADES).schemas[0])
    first["fields"][3]["type"] = "float"
    in_log(json.dumps(first))
    code, found = check()
    one = found["compatibility market.crypto.trades.binance-value"]
    assert (code, one["ok"]) == (1, False)
    assert "version 1 was changed in place: field price: type was 'float', is 'double'" in str(one["detail"])
    assert k2("topics", "plan")[0] == 1


def test_a_log_of_a_newer_k2_does_not_fit(check: Check) -> None:
    in_log(*topic_spec(TOPIC, TRADES).schemas, '"newer"')
    code, found = check()
    one = found["compatibility market.crypto.trades.binance-value"]
    assert (code, "a newer k2, or a newer plugin, wrote here" in str(one["detail"])) == (1, True)


def test_exported_schemas_are_compared_with_the_code(check: Check, k2: Shown) -> None:
    file = books()
    k2("schema", "export", "exported", "--plugin", file)
    assert check("--against", "exported", "--plugin", file)[0] == 0
    code, found = check("--against", "exported", "--plugin", books(kind="string"))
    one = found["exported/books/v1.avsc"]
    assert (code, one["ok"]) == (1, False)
    assert "books v1 was changed in place: field depth: type was 'double', is 'string' (books.py)" in str(one["detail"])
    code, found = check("--against", "exported/trades/v2.avsc")
    assert (code, found["exported/trades/v2.avsc"]["detail"]) == (0, "trades v2, unchanged")


def test_a_file_that_tells_nothing_is_told(check: Check, k2: Shown) -> None:
    code, _, err = k2("schema", "check", "--against", "nowhere")
    assert (code, "there is no schema" in err) == (2, True)
    for text, said in (("{", "cannot be read"), ('{"type": "x"}', "no Avro schema"), ('{"type": "record", "name": '
                       '"Other", "fields": []}', "no data type here has a schema Other")):  # fmt: skip
        pathlib.Path("some.avsc").write_text(text)
        code, found = check("--against", "some.avsc")
        assert (code, found["some.avsc"]["ok"], said in str(found["some.avsc"]["detail"])) == (1, False, True)
