"""An exchange without a network: it speaks Binance's protocol through `Dialer`, and everything that may go wrong does.

A record is a function of its symbol and id, so a copy is a copy, and the oracle knows what must be stored. Frames that
were sent and not yet read are lost with their connection; ids that come up while nobody is subscribed are holes.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field

from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from k2core.clock import Clock
from k2core.feed.dialer import Dialer, Link, LinkEvents

SYMBOLS = ("BTCUSDT", "XRPUSDT", "ETHUSDT")
"""The first two share a partition."""
DAY_MS = 86_400_000
MALFORMED = (
    b'{"stream":"btcusdt@trade","data":{"e":"trade","s"',
    b"\xff\xfe",
    b'{"stream":"x@depth","data":{}}',
    b"[]",
)


def price(number: int) -> str:
    return f"{100 + number % 50}.{number % 100:02d}"


def side(number: int) -> str:
    return "sell" if number % 3 else "buy"


class SimLink(Link):
    """One connection as the exchange sees it."""

    def __init__(self, exchange: Exchange, events: LinkEvents) -> None:
        self.exchange, self.events = exchange, events
        self.protocol = ServerProtocol()
        self.buffer: list[bytes] = []
        self.paused = self.gone = False
        self.streams: set[str] = set()

    def write(self, data: bytes) -> None:
        if self.gone:
            return
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, Request):
                self.protocol.send_response(self.protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode.name == "TEXT":
                asked = json.loads(event.data)
                self.streams |= set(asked["params"])
                self.send(json.dumps({"result": None, "id": asked["id"]}).encode())
        self.buffer += [b for b in self.protocol.data_to_send() if b]

    def send(self, payload: bytes) -> None:
        """Queue one text message."""
        size = bytes([len(payload)]) if len(payload) < 126 else bytes([126, *len(payload).to_bytes(2, "big")])
        self.buffer += [b"".join(self.protocol.data_to_send()), b"\x81" + size + payload]

    def deliver(self, reads: int) -> None:
        """Let the other side read; what it has not read yet is lost with the connection."""
        while self.buffer and reads and not self.paused and not self.gone:
            take = self.exchange.dice.randint(1, len(self.buffer))
            data, self.buffer = b"".join(self.buffer[:take]), self.buffer[take:]
            reads -= 1
            if data:
                self.events.received(data)

    def cut(self) -> None:
        """The connection breaks."""
        if not self.gone:
            self.gone = True
            self.events.lost(ConnectionResetError("cut by the simulation"))

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def close(self) -> None:
        if not self.gone:
            self.gone = True
            self.events.lost(None)

    abort = close


@dataclass
class Exchange(Dialer):
    """Issues ids and sends frames.

    Args:
        dice: The world's.
        clock: The world's; the exchange's time.
        channel: `@trade` or `@bookTicker`.
        dense: Whether ids rise by one.
        told: What happened, by name.
    """

    dice: random.Random
    clock: Clock
    channel: str
    dense: bool
    told: Counter[str]
    links: list[SimLink] = field(default_factory=list)
    issued: dict[tuple[str, int], int] = field(default_factory=dict)
    held: list[tuple[str, int]] = field(default_factory=list)
    last: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SYMBOLS, 0))
    refuses: int = 0

    async def dial(self, host: str, port: int, *, secure: bool, events: LinkEvents) -> Link:
        if self.refuses:
            self.refuses -= 1
            raise ConnectionRefusedError("refused by the simulation")
        self.links.append(SimLink(self, events))
        return self.links[-1]

    def emit(self) -> None:
        """Something happens on the market, or something that should not."""
        for _ in range(self.dice.randint(1, 7)):
            symbol, chance = self.dice.choice(SYMBOLS), self.dice.random()
            if chance < 0.62 or not self.issued:
                self._fresh(symbol)
            elif chance < 0.74 and self.held:
                self.told["late"] += 1
                self._send(*self.held.pop(self.dice.randrange(len(self.held))))
            elif chance < 0.83:
                self.told["double: old"] += 1
                self._send(*self.dice.choice(list(self.issued)))
            elif chance < 0.94:
                self.told["double: recent"] += 1
                self._send(*list(self.issued)[-self.dice.randint(1, min(8, len(self.issued)))])
            elif chance < 0.97:
                self.told["malformed"] += 1
                self.broadcast(self.dice.choice(MALFORMED), "")
            else:
                self.told["bad"] += 1
                self._send(*self.dice.choice(list(self.issued)), wrong_day=True)

    def _fresh(self, symbol: str) -> None:
        number = self.last[symbol] = self.last[symbol] + (1 if self.dense else self.dice.randint(1, 3))
        self.issued[symbol, number] = self.clock.now_ms() - self.dice.choice((0, 0, 0, 1, 40, 5000))
        if self.dice.random() < 0.15:
            self.held.append((symbol, number))
            return
        self._send(symbol, number, wrong_day=self.dice.random() < 0.04)

    def _send(self, symbol: str, number: int, *, wrong_day: bool = False) -> None:
        self.broadcast(self.payload(symbol, number, wrong_day=wrong_day), symbol)

    def payload(self, symbol: str, number: int, *, wrong_day: bool) -> bytes:
        at_ms = self.issued[symbol, number] + (30 * DAY_MS if wrong_day else 0)
        data: dict[str, object] = {"u": number, "s": symbol, "b": price(number), "B": "1", "a": "200.5", "A": "2"}
        if self.channel == "@trade":
            data = {"e": "trade", "E": at_ms, "s": symbol, "t": number, "p": price(number), "q": "0.5", "T": at_ms,
                    "m": side(number) == "sell", "M": True}  # fmt: skip
        stream = symbol.lower() + self.channel
        return json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()

    def broadcast(self, payload: bytes, symbol: str) -> None:
        """To every connection that asked for the stream."""
        links = [s for s in self.links if not s.gone and (not symbol or symbol.lower() + self.channel in s.streams)]
        self.told["unheard"] += not links
        for link in links:
            link.send(payload)

    def deliver(self) -> None:
        """Bytes arrive."""
        self.links = [link for link in self.links if not link.gone]
        for link in self.links:
            link.deliver(self.dice.randint(1, 3))

    def cut(self) -> bool:
        """Break a connection, and refuse the next attempts; whether there was one."""
        alive = [link for link in self.links if not link.gone]
        if not alive:
            return False
        self.dice.choice(alive).cut()
        self.refuses = self.dice.choice((0, 0, 1, 2))
        return True
