"""Every block of the README does what it says; the users' rights are tried in `test_redis_secured`."""

from __future__ import annotations

import pathlib
import re
import subprocess
import tomllib

import pytest
import redis_world as world
from k2_plugin_redis.settings import RedisSettings
from redis import Redis as Client

from k2core.testing.conformance.dedup_world import KnownTable
from tests.services.process import UnavailableError
from tests.services.redis import Redis

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for of, text in BLOCKS if of == language]


def test_no_block_is_of_another_kind() -> None:
    assert {language for language, _ in BLOCKS} == {"toml", "conf", "redis", "console"}
    assert (len(blocks("redis")), blocks("redis")[0].split()[:3]) == (1, ["ACL", "SETUSER", "k2"])


@pytest.mark.parametrize("text", blocks("toml"))
def test_settings_are_taken(text: str) -> None:
    table = tomllib.loads(text)["dedup"]
    assert table.pop("use") == "redis"
    RedisSettings(**table)


def test_a_redis_with_these_settings_is_used_and_its_keys_can_be_deleted(tmp_path: pathlib.Path) -> None:
    lines = [word for text in blocks("conf") for line in text.splitlines() for word in ("--" + line).split()]
    server = Redis(tmp_path, *lines)
    try:
        server.start()
    except UnavailableError as error:
        pytest.skip(str(error))
    writer = world.Writer(server.url, KnownTable(), "opaque")
    assert writer.write([1, 2, 1]) == [True, True, False]
    assert not writer.degraded
    with Client.from_url(server.url) as client:
        assert client.dbsize() == 3  # what is known of the partition, and the two sets of members
        typed = blocks("console")[0].removeprefix("$ ").replace("redis-cli", f"redis-cli -p {server.port}")
        subprocess.run(typed, shell=True, check=True, capture_output=True)
        assert client.dbsize() == 0
    assert writer.write([2, 3]) == [False, True]
    writer.store.close()
    server.stop()
