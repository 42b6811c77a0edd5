"""Mistakes in settings are told in k2's own words, with the line, and what is probably not meant is named."""

from __future__ import annotations

import ipaddress
import pathlib
import re
from typing import Any, Literal

import pytest
from pydantic import Field, SecretStr, field_validator

from k2core.component import Component, Settings
from k2core.config import Config, load_config
from k2core.config.check import problems
from k2core.config.lines import lines_of
from k2core.config.notes import notes
from k2core.config.resolve import CORE_MODELS
from k2core.discovery import Entry, Registry
from k2core.discovery.loading import LIMIT_S
from k2core.errors import ConfigError
from k2core.interfaces.frames import ChannelFacts, ConnectorFacts


class Inner(Settings):
    level: int = 1


class Every(Settings):
    """A field of every kind that settings have."""

    symbols: list[str] = Field(["BTCUSDT"], min_length=1)
    data_types: list[Literal["trades", "quotes"]] = Field(["trades"], max_length=2)
    whole: int = Field(1, ge=0, le=9)
    number: float = Field(1, gt=0, lt=9)
    yes: bool = True
    maybe: float | None = None
    path: pathlib.Path = pathlib.Path("x")
    mode: Literal["fast", "exact"] = "fast"
    url: str = Field("ws://a", pattern="^wss?://", max_length=20, min_length=1)
    weights: dict[str, float] = Field(default_factory=dict)
    address: ipaddress.IPv4Address | None = None
    inner: Inner = Inner()
    token: SecretStr | None = None
    tokens: list[SecretStr] = Field(default_factory=list)

    @field_validator("symbols")
    @classmethod
    def _upper(cls, value: list[str]) -> list[str]:
        if "" in value:
            raise ValueError("'' is no symbol: write it as the exchange does")
        return list(dict.fromkeys(v.upper() for v in value))


def offer(kind: str, name: str, settings: type[Settings] = Inner, facts: Any = None) -> Entry:
    made = Component(name=name, summary="s", settings=settings, factory=lambda s, c: s, capabilities=facts)
    return Entry(kind=kind, name=name, distribution=f"k2-plugin-{name}", version="1", component=made)


FACTS = ConnectorFacts(exchange="every", asset_class="crypto", channels={"trades": ChannelFacts(ids="contiguous")})
REGISTRY = Registry([offer("connector", "every", Every, FACTS), offer("normalizer", "every"), offer("sink", "iceberg"),
                     offer("query-source", "iceberg"), offer("broker", "embedded"), offer("dedup-store", "memory")])  # fmt: skip
PYDANTIC = re.compile(r"[Ii]nput|Value error|valid (integer|number|string)|Field required|[Ee]xtra inputs|pydantic")


def written(folder: pathlib.Path, text: str, env: dict[str, str] | None = None) -> Config:
    (folder / "k2.toml").write_text(text)
    return load_config(env=env or {}, cwd=folder)


WORDS = {
    "whole = 'x'": "must be a whole number, not 'x'",
    "whole = 1.5": "must be a whole number, not 1.5",
    "whole = -1": "must be at least 0, not -1",
    "whole = 10": "must be at most 9, not 10",
    "number = 0": "must be more than 0, not 0",
    "number = 9": "must be less than 9, not 9",
    "number = []": "must be a number, not []",
    "number = nan": "must be less than 9, not nan",
    "maybe = 'x'": "must be a number, not 'x'",
    "yes = 'perhaps'": "must be true or false, not 'perhaps'",
    "path = 3": "must be a path, not 3",
    "mode = 'fats'": "must be 'fast' or 'exact', not 'fats'; did you mean 'fast'?",
    "data_types = ['trade']": "data_types.0: must be 'trades' or 'quotes', not 'trade'; did you mean 'trades'?",
    "data_types = ['trades', 'quotes', 'trades']": "must have at most 2 entries",
    "url = 'http://x'": "must have the form ^wss?://, not 'http://x'",
    "url = ''": "must have at least 1 character",
    "weights = 3": "must be a table, not 3",
    "address = 'x'": "must be an IPv4Address, not 'x'",
    "symbols = 'BTCUSDT'": "must be a list of text, not 'BTCUSDT'",
    "symbols = []": "must have at least 1 entry, not []",
    "symbols = [3]": "symbols.0: must be text, not 3",
    "symbols = ['']": "'' is no symbol: write it as the exchange does",
    "inner = 3": "must be a table, not 3",
    "inner.level = 'x'": "inner.level: must be a whole number, not 'x'",
}


@pytest.mark.parametrize(("line", "said"), WORDS.items())
def test_every_mistake_is_told_in_our_words_with_its_line(tmp_path: pathlib.Path, line: str, said: str) -> None:
    (found,) = problems(written(tmp_path, f"# first\n[connectors.every]\n\n{line}\n"), REGISTRY)
    assert said in found
    assert found.startswith(f"k2.toml:4: connectors.every.{line.split(' ')[0]}")
    assert found.endswith("(k2-plugin-every 1)")
    assert not PYDANTIC.search(found)


@pytest.mark.parametrize("line", ["token = 123456789", "tokens = [123456789]"])
def test_secrets_are_not_repeated(tmp_path: pathlib.Path, line: str) -> None:
    (found,) = problems(written(tmp_path, f"[connectors.every]\n{line}\n"), REGISTRY)
    assert "123456789" not in found


def test_a_variable_is_named_instead_of_a_line(tmp_path: pathlib.Path) -> None:
    (found,) = problems(load_config(env={"K2_CONNECTORS__EVERY__WHOLE": "x"}, cwd=tmp_path), REGISTRY)
    where = "K2_CONNECTORS__EVERY__WHOLE: connectors.every.whole"
    assert found == f"{where}: must be a whole number, not 'x' (k2-plugin-every 1)"


TOML = '''top = 1
[a]
x = """
[no]
y = 1
"""
z.deep = 2
[[b]]  # more
"quoted key" = 3
list = [
  1,
]
[ c . d ]
last="x"
more=1
'''


def test_lines_of_all_that_toml_allows() -> None:
    assert lines_of(TOML) == {
        ("top",): 1, ("a",): 2, ("a", "x"): 3, ("a", "z", "deep"): 7, ("b",): 8, ("b", "quoted key"): 9,
        ("b", "list"): 10, ("c", "d"): 13, ("c", "d", "last"): 14, ("c", "d", "more"): 15,
    }  # fmt: skip


OPEN = '[api]\nhost = "0.0.0.0"\nauth = false\n'


def test_an_api_open_to_all_is_a_mistake(tmp_path: pathlib.Path) -> None:
    (found,) = problems(written(tmp_path, OPEN), REGISTRY)
    assert found.startswith("k2.toml:3: api.auth: [api] auth = false may not be combined with host 0.0.0.0")
    for fine in ('[api]\nhost = "0.0.0.0"\n', "[api]\nauth = false\n", '[api]\nauth = false\nhost = "localhost"\n'):
        assert problems(written(tmp_path, fine), REGISTRY) == []


IMPLIED = {
    "[sinks.store]": "there is no sink 'store'; installed: iceberg; if a plugin offers it, try "
    '`pip install k2-plugin-store` ([sinks.store] has no `use`, so its name is its component\'s: add `use = "iceberg"`?)',
    "[connectors.EVRY]\nuse = 'EVRY'": "names are lower case",
    "[connectors.evry]": "there is no connector 'evry'; did you mean 'every'?",
    "[sinks.lake]\nuse = 'every'": "there is no sink 'every': 'every' is a connector; installed sinks: iceberg",
    "[connectors.kraken]": "there is no connector 'kraken'; try `pip install k2-plugin-kraken`",
    "[connectors.krakn]": "there is no connector 'krakn'; did you mean 'kraken'? Then `pip install k2-plugin-kraken`",
}


@pytest.mark.parametrize(("text", "said"), IMPLIED.items())
def test_a_name_that_nobody_offers_is_read_as_the_typo_that_it_is(tmp_path: pathlib.Path, text: str, said: str) -> None:
    try:
        (found,) = problems(written(tmp_path, text), REGISTRY)
    except ConfigError as error:
        found = str(error)
    assert said in found


VARIABLES = {
    "K2_API_PORT": "K2_API__PORT",
    "K2_API_PROT": "K2_API__PORT",
    "K2_RUN_LOG_LEVEL": "K2_RUN__LOG_LEVEL",
    "K2_BROKER_PATH": "K2_BROKER__PATH",
    "K2_CONNECTORS_MY_FEED_SYMBOLS": "K2_CONNECTORS__MY_FEED__SYMBOLS",
    "K2_SINKS_LAKE_WAREHOUSE": "K2_SINKS__LAKE__WAREHOUSE",
}


@pytest.mark.parametrize(("name", "meant"), VARIABLES.items())
def test_a_variable_that_looks_like_a_setting_is_named(tmp_path: pathlib.Path, name: str, meant: str) -> None:
    config = written(tmp_path, "[connectors.my-feed]\nuse = 'every'\n")
    others = ("PATH", "K2_API_KEY", "K2_CONFIG", "K2_SEED", "K2_API__PORT", "K2_RECORDINGS")
    (found,) = notes(config, REGISTRY, {name: "1", **dict.fromkeys(others, "1")})
    assert found == f"{name}: means nothing, for settings' names have double underscores; did you mean {meant}?"


def test_symbols_read_otherwise_or_twice_are_named(tmp_path: pathlib.Path) -> None:
    symbols = "['btcusdt', 'BTCUSDT', 'ETHUSDT', 'ETHUSDT', 'ADAUSDT']"
    config = written(tmp_path, f"[connectors.every]\nsymbols = {symbols}\n")
    assert problems(config, REGISTRY) == []
    assert notes(config, REGISTRY, {}) == [
        "k2.toml:2: connectors.every.symbols: 'btcusdt' is read as 'BTCUSDT', as the exchange spells it",
        "k2.toml:2: connectors.every.symbols: 'BTCUSDT' stands there 2 times; it is captured once",
        "k2.toml:2: connectors.every.symbols: 'ETHUSDT' stands there 2 times; it is captured once",
    ]
    (tmp_path / "none").mkdir()
    by_env = load_config(env={"K2_CONNECTORS__EVERY__SYMBOLS": "a,A"}, cwd=tmp_path / "none")
    assert len(notes(by_env, REGISTRY, {})) == 2
    assert notes(written(tmp_path, "[connectors.every]\nsymbols = ['A', 'B']\n"), REGISTRY, {}) == []


def test_the_time_that_plugins_get_by_default_is_the_settings() -> None:
    assert CORE_MODELS["run"].model_validate({}).plugin_timeout_s == LIMIT_S  # type: ignore[attr-defined]
