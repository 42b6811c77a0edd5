"""The WebSocket protocol of one connection, without I/O: bytes in, messages out.

The `websockets` library does the handshake, compression, fragments, closing and every refusal. Whole uncompressed
messages, which are nearly all, are cut out here at a tenth of its cost. Survives: frames torn anywhere, oversize frames
and compressed bombs (refused from the header or while unpacking, close code 1009), masked, reserved or otherwise wrong
frames (1002), an end without closing.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, InvalidURI, PayloadTooBig
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI, parse_uri

from k2core.errors import ConfigError, ConnectorError

HANDSHAKE_BYTES = 65_536
WHOLE = (0x81, 0x82)  # header's first byte of a whole, uncompressed text or binary message
_LOGGER = logging.getLogger("k2.feed.wire")


def address(url: str) -> WebSocketURI:
    """Take a WebSocket URL apart.

    Raises:
        ConfigError: It is not one.
    """
    try:
        return parse_uri(url)
    except InvalidURI as error:
        raise ConfigError(f"{url!r} is not a WebSocket address: {error}; it begins with wss:// or ws://") from error


@dataclass(slots=True)
class Received:
    """What some bytes held.

    Args:
        messages: Whole data messages.
        pings: Payloads of pings; the caller answers them.
        reply: Bytes that the protocol itself wants written at once.
        opened: The handshake succeeded within these bytes.
        ended: The connection is over: why, in words; nothing more will come.
        refused: It is over because a message was larger than the limit.
    """

    messages: list[bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    reply: bytes = b""
    opened: bool = False
    ended: str | None = None
    refused: bool = False


class _Unanswered(ClientProtocol):
    """The library's protocol, but pings are left to the caller: pongs count against the exchange's limit."""

    def recv_frame(self, frame: Frame) -> None:
        """Keep pings as events, do all else as ever."""
        if frame.opcode is Opcode.PING:
            self.events.append(frame)
        else:
            super().recv_frame(frame)


class Wire:
    """One connection's protocol.

    Args:
        url: Where it goes.
        max_frame_bytes: A larger message ends the connection.
        compression: Whether to offer permessage-deflate.

    Raises:
        ConfigError: `url` is no WebSocket address.
    """

    def __init__(self, url: str, max_frame_bytes: int, *, compression: bool = False) -> None:
        offers = [ClientPerMessageDeflateFactory(client_max_window_bits=True)] if compression else None
        self.uri = address(url)
        self._protocol = _Unanswered(self.uri, extensions=offers, max_size=max_frame_bytes, logger=_LOGGER)
        self._most = max_frame_bytes
        self._tail = b""
        self._parts: list[bytes] | None = None
        self._opened = self._over = False

    @property
    def open(self) -> bool:
        """Whether control messages can be sent."""
        return self._protocol.state is State.OPEN

    def opening(self) -> bytes:
        """The handshake request."""
        self._protocol.send_request(self._protocol.connect())
        return b"".join(self._protocol.data_to_send())

    def text(self, payload: bytes) -> bytes:
        """A text message as bytes to write."""
        self._protocol.send_text(payload)
        return b"".join(self._protocol.data_to_send())

    def pong(self, payload: bytes) -> bytes:
        """The answer to a ping as bytes to write."""
        self._protocol.send_pong(payload)
        return b"".join(self._protocol.data_to_send())

    def close(self, code: int = CloseCode.NORMAL_CLOSURE) -> bytes:
        """Begin the closing handshake; messages still come until the other side has answered."""
        if self._protocol.state is not State.OPEN:
            return b""
        self._protocol.send_close(code)
        return b"".join(self._protocol.data_to_send())

    def receive(self, data: bytes) -> Received:
        """Take bytes from the socket.

        Raises:
            ConnectorError: The handshake was refused; `retry_after` where the exchange named one.
        """
        found = Received()
        if self._over:
            return found
        buffer = self._tail + data if self._tail else data
        self._tail = b""
        if not self._opened:
            buffer = self._shake_hands(buffer, found)
        if self._opened and buffer:
            self._scan(buffer, found)
        return found

    def receive_eof(self) -> Received:
        """The other side has ended TCP.

        Raises:
            ConnectorError: It did so in the middle of the handshake.
        """
        found = Received()
        if self._over:
            return found
        self._over = True
        if not self._opened and self._tail:
            self._protocol.receive_data(self._tail)
        self._protocol.receive_eof()
        if not self._opened:
            self._raise_refusal("the exchange ended the connection during the handshake")
        found.ended = "the exchange ended the connection without closing it"
        return found

    def _shake_hands(self, buffer: bytes, found: Received) -> bytes:
        end = buffer.find(b"\r\n\r\n") + 4
        if end < 4 and len(buffer) < HANDSHAKE_BYTES:
            self._tail = buffer
            return b""
        accepted = end >= 4 and buffer.startswith(b"HTTP/1.1 101")
        head, rest = (buffer[:end], buffer[end:]) if accepted else (buffer, b"")
        self._protocol.receive_data(head)
        if self._protocol.handshake_exc is not None:
            self._raise_refusal("the handshake failed")
        self._opened = found.opened = self._protocol.state is State.OPEN
        self._protocol.events_received()
        return rest

    def _raise_refusal(self, what: str) -> None:
        self._over = True
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            from k2core.feed.pacing import retry_after

            status, headers = error.response.status_code, error.response.headers
            raise ConnectorError(f"handshake answered with {status}", retry_after=retry_after(headers)) from error
        raise ConnectorError(f"{what}: {error}" if error else what) from error

    def _scan(self, buffer: bytes, found: Received) -> None:
        at, end, most, add = 0, len(buffer), self._most, found.messages.append
        plain = self._parts is None
        while end - at >= 2:
            first, size = buffer[at], buffer[at + 1]
            start = at + 2
            if size > 127:  # masked, which a server may not do: the library refuses it from its header
                self._slowly(buffer[at:], found)
                return
            if size > 125:
                start += 2 if size == 126 else 8
                if start > end:
                    break
                size = int.from_bytes(buffer[at + 2 : start])
            stop = start + size
            if size <= most and stop > end:
                break
            if plain and first in WHOLE and size <= most:
                add(buffer[start:stop])
            else:
                self._slowly(buffer[at:stop], found)
                if self._over:
                    return
                plain = self._parts is None
            at = stop
        self._tail = buffer[at:]

    def _slowly(self, data: bytes, found: Received) -> None:
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._take(event, found)
        found.reply += b"".join(protocol.data_to_send())
        if protocol.parser_exc is not None:
            self._over = True
            found.refused = isinstance(protocol.parser_exc, PayloadTooBig)
            found.ended = f"wrong frame: {protocol.parser_exc}"
        elif protocol.close_rcvd is not None:
            self._over = True
            found.ended = f"closed by the exchange: {protocol.close_rcvd}"

    def _take(self, frame: Frame, found: Received) -> None:
        if frame.opcode is Opcode.PING:
            found.pings.append(bytes(frame.data))
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.fin and self._parts is None:
                found.messages.append(bytes(frame.data))
                return
            self._parts = [*(self._parts or ()), bytes(frame.data)]
            if frame.fin:
                found.messages.append(b"".join(self._parts))
                self._parts = None
