"""Settings: where they are found, how they are merged, and what a mistake is told."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from pydantic import Field, SecretStr

from k2core.component import Component, Settings
from k2core.config import Config, load_config
from k2core.config.check import problems
from k2core.config.show import rows
from k2core.discovery import Entry, Registry
from k2core.errors import ConfigError, PluginError
from k2core.interfaces.frames import ChannelFacts, ConnectorFacts


class Deep(Settings):
    retries: int = 3


class FeedSettings(Settings):
    symbols: tuple[str, ...]
    data_types: tuple[str, ...] = ("trades",)
    token: SecretStr | None = None
    cache: pathlib.Path = Field(pathlib.Path("cache"), json_schema_extra={"path": True})
    weights: dict[str, float] = Field(default_factory=dict)
    deep: Deep = Deep()


class StoreSettings(Settings):
    warehouse: str = Field("data/warehouse", json_schema_extra={"path": True})


def offer(kind: str, name: str, settings: type[Settings] = StoreSettings, capabilities: Any = None) -> Entry:
    component = Component(name=name, summary="s", settings=settings, factory=lambda s, c: s, capabilities=capabilities)
    return Entry(kind=kind, name=name, distribution=f"k2-plugin-{name}", version="0.1.0", component=component)


FACTS = ConnectorFacts(exchange="binance", asset_class="crypto", channels={"trades": ChannelFacts(ids="contiguous")})
REGISTRY = Registry(
    [
        offer("connector", "binance", FeedSettings, FACTS),
        offer("normalizer", "binance", Deep),
        offer("sink", "iceberg"),
        offer("query-source", "iceberg"),
        offer("broker", "embedded", Deep),
        offer("dedup-store", "memory", Deep),
    ]
)


def written(folder: pathlib.Path, text: str, env: dict[str, str] | None = None, **more: Any) -> Config:
    (folder / "k2.toml").write_text(text)
    return load_config(env=env or {}, cwd=folder, **more)


THREE_LINES = '[connectors.binance]\nsymbols = ["BTCUSDT"]\n'


def feed(config: Config) -> FeedSettings:
    settings = config.settings(config.connectors[0], REGISTRY)[1]
    assert isinstance(settings, FeedSettings)
    return settings


def test_three_lines_are_enough(tmp_path: pathlib.Path) -> None:
    config = written(tmp_path, THREE_LINES)
    assert problems(config, REGISTRY) == []
    assert [s.use for s in config.sections] == ["binance", "embedded", "memory", "iceberg"]
    assert feed(config).symbols == ("BTCUSDT",)


def test_no_file_is_all_defaults(tmp_path: pathlib.Path) -> None:
    config = load_config(env={}, cwd=tmp_path)
    assert config.layers.file is None
    assert config.api.port == 8000
    assert config.run.path == tmp_path / "data/run"


def test_option_before_variable_before_here(tmp_path: pathlib.Path) -> None:
    for name, port in (("k2.toml", 1), ("by_env.toml", 2), ("by_option.toml", 3)):
        (tmp_path / name).write_text(f"[api]\nport = {port}\n")
    env = {"K2_CONFIG": "by_env.toml"}
    assert load_config(env={}, cwd=tmp_path).api.port == 1
    assert load_config(env=env, cwd=tmp_path).api.port == 2
    assert load_config(pathlib.Path("by_option.toml"), env=env, cwd=tmp_path).api.port == 3
    with pytest.raises(ConfigError, match=r"K2_CONFIG names gone\.toml, which is not a file"):
        load_config(env={"K2_CONFIG": "gone.toml"}, cwd=tmp_path)


def test_command_line_over_environment_over_file_with_origins(tmp_path: pathlib.Path) -> None:
    env = {"K2_API__PORT": "2", "K2_API__AUTH": "false", "K2_API_KEY": "secret-key"}
    config = written(tmp_path, '[api]\nport = 1\nhost = "::1"\n', env, overrides={("api", "port"): "3"})
    assert (config.api.port, config.api.auth, config.api.host) == (3, False, "::1")
    shown = {r.key: r for r in rows(config, REGISTRY)}
    assert {k: shown[f"api.{k}"].origin for k in ("port", "auth", "host", "key", "max_body_bytes")} == {
        "port": "command line",
        "auth": "K2_API__AUTH",
        "host": "k2.toml",
        "key": "K2_API_KEY",
        "max_body_bytes": "default",
    }
    assert shown["api.key"].value == "********"
    assert "secret-key" not in repr(config)


@pytest.mark.parametrize("text", ["BTCUSDT,ETHUSDT", '["BTCUSDT", "ETHUSDT"]', "BTCUSDT, ETHUSDT"])
def test_lists_in_the_environment(tmp_path: pathlib.Path, text: str) -> None:
    env = {"K2_CONNECTORS__BINANCE__SYMBOLS": text, "K2_CONNECTORS__BINANCE__DEEP__RETRIES": "9"}
    env |= {"K2_CONNECTORS__BINANCE__WEIGHTS": '{"a": 0.5}'}
    settings = feed(load_config(env=env, cwd=tmp_path))
    assert settings.symbols == ("BTCUSDT", "ETHUSDT")
    assert settings.deep.retries == 9
    assert settings.weights == {"a": 0.5}


def test_an_instance_with_a_hyphen_is_reached_by_an_underscore(tmp_path: pathlib.Path) -> None:
    text = '[connectors.my-feed]\nuse = "binance"\n'
    config = written(tmp_path, text, {"K2_CONNECTORS__MY_FEED__SYMBOLS": "A"})
    assert [c.instance for c in config.connectors] == ["my-feed"]
    assert feed(config).symbols == ("A",)


def test_names_without_a_double_underscore_mean_nothing(tmp_path: pathlib.Path) -> None:
    env = {"K2_CRASH_AT": "x", "K2_RECORDINGS": "y", "K2_REQUIRE_SERVICES": "1", "K2_PORT": "1", "OTHER__X": "1"}
    assert load_config(env=env, cwd=tmp_path).api.port == 8000


def test_paths_are_relative_to_the_file(tmp_path: pathlib.Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    config = written(inner, THREE_LINES + '[sinks.lake]\nwarehouse = "w"\n[sinks.far]\nuse = "iceberg"\n'
                     'warehouse = "s3://bucket/w"\n[api]\nkeys_file = "/etc/keys"\n')  # fmt: skip
    made = [config.settings(s, REGISTRY)[1].warehouse for s in config.sinks]  # type: ignore[attr-defined]
    assert made == [str(inner / "w"), "s3://bucket/w"]
    assert feed(config).cache == inner / "cache"
    assert config.api.keys_file == pathlib.Path("/etc/keys")


MISTAKES = {
    "[api]\nprot = 1": "k2.toml:2: api.prot: unknown key; did you mean 'port'?",
    "[api]\nport = 99999": "k2.toml:2: api.port: must be at most 65535, not 99999",
    "[apy]\nport = 1": "apy: unknown section; did you mean 'api'?",
    "api = 3": "api: must be a table, as [api]",
    "[sinks]\nlake = 3": "sinks.lake: must be a table, as [sinks.NAME]",
    '[broker]\nuse = ["a"]': "broker.use: must be a component's name, not ['a']",
    "[api]\nport = ": "k2.toml:2: not valid TOML",
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.items())
def test_mistakes_of_core_sections(tmp_path: pathlib.Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        written(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


COMPONENT_MISTAKES = {
    '[connectors.binance]\nsymbol = ["A"]\nsymbols = ["A"]': "k2.toml:2: connectors.binance.symbol: unknown key "
    "(k2-plugin-binance 0.1.0); did you mean 'symbols'?",
    "[connectors.binance]": "k2.toml:1: connectors.binance.symbols: is needed and has no default: "
    "add `symbols = …` to [connectors.binance] (k2-plugin-binance 0.1.0)",
    THREE_LINES + "[connectors.binance.deep]\nretires = 1": "connectors.binance.deep.retires: unknown key "
    "(k2-plugin-binance 0.1.0); did you mean 'retries'?",
    THREE_LINES + 'data_types = ["quotes"]': "binance has no 'quotes'; it has trades",
    '[sinks.lake]\nuse = "icberg"': "k2.toml:2: sinks.lake.use: there is no sink 'icberg'; did you mean 'iceberg'?",
    '[connectors.kraken]\nsymbols = ["A"]': "there is no connector 'kraken'; try `pip install k2-plugin-kraken`",
}


@pytest.mark.parametrize(("text", "said"), COMPONENT_MISTAKES.items())
def test_mistakes_of_component_sections(tmp_path: pathlib.Path, text: str, said: str) -> None:
    (found,) = problems(written(tmp_path, text), REGISTRY)
    assert said in found


def test_a_mistake_in_the_environment_names_the_variable(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"^K2_API__PROT: api\.prot: unknown key; did you mean 'port'"):
        load_config(env={"K2_API__PROT": "1"}, cwd=tmp_path)
    with pytest.raises(ConfigError, match=r"^K2_APY__PORT: there is no section \[apy\]; did you mean 'api'"):
        load_config(env={"K2_APY__PORT": "1"}, cwd=tmp_path)
    with pytest.raises(ConfigError, match=r"^K2_SINKS__LAKE: name a setting"):
        load_config(env={"K2_SINKS__LAKE": "1"}, cwd=tmp_path)


def test_a_secret_stays_out_of_messages(tmp_path: pathlib.Path) -> None:
    (found,) = problems(written(tmp_path, THREE_LINES + "token = 12345678"), REGISTRY)
    assert "connectors.binance.token" in found
    assert "12345678" not in found


def test_misspelt_is_a_settings_error_missing_a_plugin_error(tmp_path: pathlib.Path) -> None:
    for text, kind in (('[sinks.lake]\nuse = "icberg"', ConfigError), ('[sinks.lake]\nuse = "qq"', PluginError)):
        config = written(tmp_path, text)
        with pytest.raises(kind):
            config.settings(config.sinks[0], REGISTRY)


def test_all_mistakes_are_listed_and_the_first_is_raised(tmp_path: pathlib.Path) -> None:
    config = written(tmp_path, "[connectors.binance]\na = 1\nb = 2\n")
    assert len(problems(config, REGISTRY)) == 3
    with pytest.raises(ConfigError, match="and 2 more"):
        feed(config)
