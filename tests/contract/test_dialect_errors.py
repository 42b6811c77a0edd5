"""A dialect that raises is named at once, by every wait of the kit; the log says it once."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from k2core.testing import FakeExchange
from k2core.testing.speaking import DialectError
from tests.contract.pit_connector import PitConnectorSuite
from tests.contract.pit_feed import PitDialect, PitFeed, PitFeedSuite, suite_of
from tests.contract.standard import applying, failing

DIRECT = {
    "test_C02_any_share_of_the_subscriptions_is_asked_for_alone",
    "test_C20_a_subscription_brings_its_own_symbol_and_no_other",
}
WITHOUT_SOCKETS = {
    "test_C06_whatever_the_bytes_a_frame_is_classified",
    "test_C19_a_check_that_gets_no_answer_says_so",
}


class Raises(PitDialect):
    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        return super().on_message(message, current + "x")  # type: ignore[operator]


class AnswersText(PitDialect):
    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        replies, streams = super().on_message(message, current)
        return [reply.decode() for reply in replies], streams  # type: ignore[misc]


class ForgetsToAnswer(PitDialect):
    def on_message(self, message: bytes, current: set[str]) -> Any:
        return None


class RaisesAtOnce(PitDialect):
    def on_connect(self, path: str) -> set[str]:
        raise KeyError(path)


class GreetsBadly(PitDialect):
    def greeting(self, path: str) -> list[bytes]:
        raise ValueError("no greeting")


class WrapsBadly(PitDialect):
    def wrap(self, path: str, stream: str, frame: bytes) -> bytes:
        raise ValueError("no wrapping")


BROKEN = [
    (Raises, "your Dialect.on_message raised TypeError: unsupported operand", "(test_dialect_errors.py:"),
    (AnswersText, "your Dialect.on_message raised TypeError: the replies are a list of bytes, not [", "on b'{"),
    (ForgetsToAnswer, "your Dialect.on_message raised TypeError: cannot unpack", "on b'{"),
    (RaisesAtOnce, "your Dialect.on_connect raised KeyError: '/pit'", "on '/pit'"),
    (GreetsBadly, "your Dialect.greeting raised ValueError: no greeting (test_dialect_errors.py:", "on '/pit'"),
    (
        WrapsBadly,
        "your Dialect.wrap raised ValueError: no wrapping (test_dialect_errors.py:",
        """on b'{"ch""" + """":""",
    ),
]
LONG_S = 120.0
"""How long the suite would wait for what a broken dialect never does."""
ONE_TEST = "test_C03_every_frame_arrives_once_unchanged_in_order_and_numbered"


def speaking(dialect: type[PitDialect], base: Any = PitFeedSuite) -> Any:
    return type("SuiteOfDialect", (base,), {"dialect": lambda self: dialect(), "timeout_s": LONG_S})


@pytest.mark.parametrize(("dialect", "said", "more"), BROKEN, ids=[one[0].__name__ for one in BROKEN])
def test_what_a_dialect_raises_is_said_at_once(
    dialect: type[PitDialect], said: str, more: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = time.monotonic()
    with caplog.at_level(logging.ERROR):
        found = failing(speaking(dialect), [ONE_TEST])[ONE_TEST]
    assert time.monotonic() - before < LONG_S / 2, "a wait went on though the dialect is broken"
    last = found.strip().splitlines()[-1]
    assert said in last, found
    assert more in last, found
    told = [record for record in caplog.records if "Dialect" in record.getMessage()]
    assert len(told) == 1, "the log says it once"
    assert "connection handler failed" not in caplog.text


def test_every_test_of_the_suite_says_so_soon() -> None:
    before = time.monotonic()
    suite = speaking(Raises)
    found = failing(suite, [name for name in applying(suite) if "_C" in name], threads=4)
    assert time.monotonic() - before < LONG_S
    for name in set(found) - DIRECT:
        assert "your Dialect.on_message raised TypeError" in found[name], found[name]
    assert set(found) >= {name for name in applying(suite) if "_C" in name} - WITHOUT_SOCKETS


async def test_whoever_waits_for_the_exchange_is_told() -> None:
    from websockets.asyncio.client import connect

    async with FakeExchange(RaisesAtOnce()) as exchange:
        async with connect(f"{exchange.url}/pit") as socket:
            await socket.wait_closed()
            assert socket.close_code == 1011
        with pytest.raises(DialectError, match=r"your Dialect\.on_connect raised KeyError"):
            await exchange.wait_subscribed({"AAA:trades"}, timeout=60)
        assert len(exchange.dialect_errors) == 1


def test_rest_that_raises_is_named() -> None:
    """What REST alone asks costs the answer, not the server."""
    import asyncio
    from urllib.error import HTTPError
    from urllib.request import urlopen

    class NoRest(PitDialect):
        def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
            raise LookupError("no list")

    async def work() -> list[str]:
        async with FakeExchange(NoRest()) as exchange:
            with pytest.raises(HTTPError, match="500") as refused:
                await asyncio.to_thread(urlopen, f"{exchange.rest_url}/symbols", timeout=5)
            refused.value.close()
            return exchange.dialect_errors

    (said,) = asyncio.run(work())
    assert said.startswith("your Dialect.rest raised LookupError: no list (test_dialect_errors.py:")


def test_a_full_connector_is_told_too() -> None:
    from tests.contract.pit_connector import PitConnector

    made: Any = suite_of(PitConnector, PitConnectorSuite)
    found = failing(speaking(Raises, made), [ONE_TEST])
    assert "your Dialect.on_message raised TypeError" in found[ONE_TEST]
    assert failing(suite_of(PitFeed), [ONE_TEST]) == {}
