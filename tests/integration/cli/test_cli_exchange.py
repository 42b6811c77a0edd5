"""`k2 exchange`: stdout is a k2.toml, `k2 up` captures from it without the internet; `config check --online` asks it."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import signal
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

K2 = (sys.executable, "-m", "k2core.cli.main")
ENV = {name: value for name, value in os.environ.items() if not name.startswith("K2_")}


@asynccontextmanager
async def running(folder: pathlib.Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `k2` that is interrupted at the end, as by Ctrl-C, and must end well."""
    pipe = asyncio.subprocess.PIPE
    one = await asyncio.create_subprocess_exec(*K2, *arguments, cwd=folder, env=ENV, stdout=pipe, stderr=pipe)
    try:
        yield one
    finally:
        if one.returncode is None:
            one.send_signal(signal.SIGINT)
        _, said = await asyncio.wait_for(one.communicate(), 120)
    assert one.returncode == 0, said.decode()


async def once(folder: pathlib.Path, *arguments: str) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    one = await asyncio.create_subprocess_exec(*K2, *arguments, cwd=folder, env=ENV, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(one.communicate(), 120)
    return one.returncode or 0, out.decode(), err.decode()


async def settings_of(exchange: asyncio.subprocess.Process) -> str:
    """What it prints to stdout, up to the last setting."""
    assert exchange.stdout
    lines: list[str] = []
    while not lines or not lines[-1].startswith("time_unit"):
        line = (await asyncio.wait_for(exchange.stdout.readline(), 60)).decode()
        assert line, (await exchange.communicate())[1].decode()
        lines.append(line)
    return "".join(lines)


async def test_its_stdout_is_a_k2_toml_that_captures(tmp_path: pathlib.Path) -> None:
    options = ["--minutes", "10", "--trades", "200", "--set", 'symbols=["AAAUSDT","BBBUSDT"]']
    async with running(tmp_path, "exchange", "binance", *options) as exchange:
        text = await settings_of(exchange)
        assert list(tomllib.loads(text)["connectors"]) == ["binance"]
        (tmp_path / "k2.toml").write_text(text)
        async with running(tmp_path, "up", "--port", "0") as up:
            assert up.stderr
            async with asyncio.timeout(60):
                while b"API on" not in await up.stderr.readline():
                    assert up.returncode is None
                status = tmp_path / "data" / "run" / "ingest.json"
                while not (status.exists() and b"k2_ingest_records_total" in status.read_bytes()):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)  # another process writes it
    code, out, err = await once(tmp_path, "query", "trades", "--symbol", "AAAUSDT", "--limit", "5", "--json")
    assert code == 0, err
    assert json.loads(out)["count"] == 5


async def test_it_says_how_many_records_the_tables_must_hold(tmp_path: pathlib.Path) -> None:
    options = ["--minutes", "0.05", "--trades", "20", "--set", 'symbols=["AAAUSDT"]']
    async with running(tmp_path, "exchange", "binance", *options) as exchange:
        (tmp_path / "k2.toml").write_text(await settings_of(exchange))
        assert exchange.stderr
        async with running(tmp_path, "ingest"), asyncio.timeout(120):
            while b"the tape is played" not in await exchange.stderr.readline():
                assert exchange.returncode is None
        exchange.send_signal(signal.SIGINT)
        told = await exchange.stderr.readline()
        await exchange.wait()
    counts = []
    assert (await once(tmp_path, "write", "--once"))[0] == 0
    for name in ("trades", "quotes"):
        code, out, err = await once(tmp_path, "query", name, "--symbol", "AAAUSDT", "--limit", "1000", "--json")
        assert code == 0, err
        counts.append(json.loads(out)["count"])
    assert told.decode() == "k2 exchange: sent {} trades and {} quotes, each counted once\n".format(*counts)
    assert counts[0] == 60


async def test_check_online_names_what_the_exchange_does_not_know(tmp_path: pathlib.Path) -> None:
    async with running(tmp_path, "exchange", "binance", "--set", "symbols=AAAUSDT", "--trades", "1") as exchange:
        text = await settings_of(exchange)
        (tmp_path / "k2.toml").write_text(text.replace('"AAAUSDT"', '"AAAUSDT", "NOSUCH"'))
        assert (await once(tmp_path, "config", "check"))[0] == 0
        code, _, err = await once(tmp_path, "config", "check", "--online")
        assert code == 2
        assert err == "k2.toml:2: connectors.binance.symbols: binance does not know NOSUCH: correct it\n"
        (tmp_path / "k2.toml").write_text(text)
        assert (await once(tmp_path, "config", "check", "--online"))[0] == 0


async def test_an_exchange_that_is_away_is_a_note(tmp_path: pathlib.Path) -> None:
    away = 'websocket_url = "ws://127.0.0.1:9"\nrest_url = "http://127.0.0.1:9"\n'
    (tmp_path / "k2.toml").write_text(f'[connectors.binance]\nsymbols = ["A"]\n{away}')
    code, out, err = await once(tmp_path, "config", "check", "--online")
    assert (code, "no mistake found" in out) == (0, True)
    assert "note: k2.toml:2: connectors.binance.symbols: binance could not be asked which symbols it knows" in err


async def test_wrong_settings_and_names_are_told(tmp_path: pathlib.Path) -> None:
    code, _, err = await once(tmp_path, "exchange", "binance", "--set", "trads=3")
    assert (code, "did you mean 'trades'?" in err) == (2, True)
    code, _, err = await once(tmp_path, "exchange", "binance", "--set", "trades")
    assert (code, "write it as KEY=VALUE" in err) == (2, True)
    code, _, err = await once(tmp_path, "exchange", "binace")
    assert (code, "did you mean 'binance'?" in err) == (3, True)
