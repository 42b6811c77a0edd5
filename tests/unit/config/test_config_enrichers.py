"""`[enrichers.NAME]`: which there are, which columns they add, and which cannot live together."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from k2core.component import Component, Settings
from k2core.config import load_config
from k2core.config.build import Assembly
from k2core.config.check import problems
from k2core.discovery import Entry, Registry, discover
from k2core.errors import ConfigError, K2Error, PluginError
from k2core.interfaces.enricher import Enricher
from k2core.records.builtin import BUILTIN_DATA_TYPES
from k2core.records.data_type import Column


class Naming(Settings):
    column: str = "x"
    nullable: bool = True
    kind: str = "double"
    data_type: str = "trades"


class Made(Enricher):
    def __init__(self, settings: Naming) -> None:
        self.data_type = settings.data_type
        self.columns = (Column(settings.column, settings.kind, settings.nullable),)  # type: ignore[arg-type]

    def enrich(self, rows: Any) -> Any:
        return {}


def offer(name: str, factory: Any) -> Entry:
    component = Component(name=name, summary="s", settings=Naming, factory=factory)
    return Entry(kind="enricher", name=name, distribution=f"k2-plugin-{name}", version="0.1.0", component=component)


KINDS = [
    Entry(kind="data-type", name=t.name, distribution="k2core", version="0.1.0", component=t)
    for t in BUILTIN_DATA_TYPES
]
REGISTRY = Registry([
    *KINDS, offer("plain", lambda s, c: Made(s)), offer("other", lambda s, c: Made(s)),
    offer("thing", lambda s, c: object()), offer("bad", lambda s, c: 1 / 0),
])  # fmt: skip


def assembly(folder: pathlib.Path, text: str, **env: str) -> Assembly:
    (folder / "k2.toml").write_text(text)
    return Assembly(load_config(env=env, cwd=folder), REGISTRY)


def test_columns_come_in_the_order_of_the_file(tmp_path: pathlib.Path) -> None:
    made = assembly(tmp_path, '[enrichers.other]\ncolumn = "b"\n[enrichers.one]\nuse = "plain"\ncolumn = "a"\n')
    types = made.table_types()
    assert [c.name for c in types["trades"].added] == ["b", "a"]
    assert types["trades"].table_schema.names[-2:] == ["b", "a"]
    assert types["quotes"].added == ()
    assert made.data_types()["trades"].added == (), "the log knows nothing of them"
    assert types["trades"].avro_schema(3) == made.data_types()["trades"].avro_schema(3)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("[enrichers.plain]\n[enrichers.other]\n", ConfigError,
         r"enrichers.other \(k2-plugin-other 0.1.0\): column 'x' belongs to enrichers.plain already"),
        ('[enrichers.plain]\ncolumn = "price"\n', ConfigError, "column 'price' belongs to every row of market.trades"),
        ('[enrichers.plain]\ncolumn = "log_offset"\n', ConfigError, "column 'log_offset' belongs to every row"),
        ('[enrichers.plain]\ndata_type = "nothing"\n', ConfigError, "enriches 'nothing', which has no table.*quotes, trades"),
        ('[enrichers.plain]\ndata_type = "dead_letters"\n', ConfigError, "has no table"),
        ("[enrichers.plain]\nnullable = false\n", PluginError, "column 'x' must be nullable"),
        ('[enrichers.plain]\nkind = "bytes"\n', PluginError, "of kind string, long, double"),
        ('[enrichers.plain]\ncolumn = "No Name"\n', PluginError, "named"),
        ("[enrichers.thing]\n", PluginError, "its factory made a object, not an Enricher"),
        ("[enrichers.bad]\n", PluginError, "enricher 'bad' .* cannot be made: ZeroDivisionError"),
        ("[enrichers.plane]\n", ConfigError, "did you mean 'plain'"),
        ("[enrichers.plain]\nactive = 3\n", ConfigError, "enrichers.plain.active: must be true or false, not 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_an_error_at_start(
    tmp_path: pathlib.Path, text: str, kind: type[K2Error], message: str
) -> None:
    with pytest.raises(kind, match=message):
        assembly(tmp_path, text).table_types()


def test_config_check_finds_a_clash(tmp_path: pathlib.Path) -> None:
    made = assembly(tmp_path, "[enrichers.plain]\n[enrichers.other]\n")
    registry = Registry([*discover().entries, *(e for e in REGISTRY.entries if e.kind == "enricher")])
    (problem,) = problems(made.config, registry)
    assert "belongs to enrichers.plain" in problem


@pytest.mark.parametrize(("text", "env"), [("active = false", {}), ("", {"K2_ENRICHERS__PLAIN__ACTIVE": "false"})])
def test_one_can_be_switched_off(tmp_path: pathlib.Path, text: str, env: dict[str, str]) -> None:
    made = assembly(tmp_path, f"[enrichers.plain]\n{text}\n", **env)
    assert [one.active for one in made.enriching()] == [False]
    assert [c.name for c in made.table_types()["trades"].added] == ["x"]
