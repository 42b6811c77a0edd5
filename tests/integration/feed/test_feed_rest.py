"""The REST client against a server that fails, bans, hangs and talks without end."""

from __future__ import annotations

import logging

import pytest

from k2core.errors import ConfigError, ConnectorError
from k2core.feed.rest import HttpRest, RestSettings
from k2core.testing import FakeExchange
from tests.integration.feed.toy_exchange import ToyDialect

QUICK = RestSettings(timeout_s=0.2, backoff_initial_s=0.01, max_body_bytes=1000)


class Wide(ToyDialect):
    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if path == "/echo":
            return 200, {"X-Weight": "4"}, repr(sorted(query.items())).encode()
        return (200, {}, b"x" * 2000) if path == "/long" else super().rest(path, query)


def client() -> HttpRest:
    return HttpRest(logging.getLogger("k2.rest.test"), QUICK)


async def test_a_get_brings_status_headers_and_body() -> None:
    async with FakeExchange(Wide()) as server:
        answer = await client().get(f"{server.rest_url}/echo", {"a": "1", "b": "x y"})
        assert (answer.status, answer.body) == (200, b"[('a', '1'), ('b', 'x y')]")
        assert answer.headers["x-weight"] == "4"
        assert (await client().get(f"{server.rest_url}/nothing")).status == 404


async def test_failures_are_tried_again_and_given_up_in_the_end() -> None:
    async with FakeExchange(Wide()) as server:
        server.fail_rest(503, count=2)
        assert (await client().get(f"{server.rest_url}/symbols")).status == 200
        server.fail_rest(500, count=3)
        with pytest.raises(ConnectorError, match="answered with 500, 3 times"):
            await client().get(f"{server.rest_url}/symbols")
        assert server.counts["rest"] == 6


@pytest.mark.parametrize("status", [418, 429])
async def test_a_ban_is_reported_at_once_with_its_time(status: int) -> None:
    async with FakeExchange(Wide()) as server:
        server.fail_rest(status, {"Retry-After": "120"})
        with pytest.raises(ConnectorError) as caught:
            await client().get(f"{server.rest_url}/symbols")
        assert caught.value.retry_after == 120
        assert server.counts["rest"] == 1


async def test_long_answers_hanging_servers_and_closed_ports_are_bounded() -> None:
    async with FakeExchange(Wide()) as server:
        with pytest.raises(ConnectorError, match="longer than 1000 bytes"):
            await client().get(f"{server.rest_url}/long")
        assert server.counts["rest"] == 1
    with pytest.raises(ConnectorError, match="3 times"):
        await client().get(f"{server.rest_url}/symbols")


async def test_what_is_no_address_is_a_wrong_setting() -> None:
    for url in ("ftp://x/y", "nonsense", "http://[oops"):
        with pytest.raises(ConfigError, match="HTTP address"):
            await client().get(url)
