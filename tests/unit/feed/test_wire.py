"""The protocol without I/O: however the bytes are torn, the messages are the same; what is wrong is refused."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from k2core.errors import ConfigError, ConnectorError
from k2core.feed.wire import Received, Wire, address
from k2core.testing.served import wire_frame

SIZES = st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000])


def opened(max_bytes: int = 1 << 20, *, compression: bool = False) -> tuple[Wire, ServerProtocol]:
    """Both sides of a connection, after the handshake."""
    wire = Wire("ws://exchange.test/ws", max_bytes, compression=compression)
    server = ServerProtocol(extensions=[ServerPerMessageDeflateFactory()] if compression else None)
    server.receive_data(wire.opening())
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    assert wire.receive(b"".join(server.data_to_send())).opened
    return wire, server


def torn(wire: Wire, data: bytes, cuts: list[int]) -> Received:
    """Everything that is found when the bytes come in pieces."""
    found = Received()
    edges = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    for start, stop in pairwise(edges):
        part = wire.receive(data[start:stop])
        found.messages += part.messages
        found.pings += part.pings
        found.reply += part.reply
        found.ended = found.ended or part.ended
        found.refused |= part.refused
    return found


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(st.tuples(st.sampled_from(["text", "binary", "fragments", "ping", "pong"]), SIZES), max_size=12),
    cuts=st.lists(st.integers(0, 400_000), max_size=20),
    compression=st.booleans(),
)
def test_messages_are_the_same_however_the_bytes_are_torn(
    parts: list[tuple[str, int]], cuts: list[int], compression: bool
) -> None:
    wire, server = opened(compression=compression)
    messages, pings = [], []
    for number, (kind, size) in enumerate(parts):
        payload = (b"%d " % number * (size + 1))[:size]
        if kind in ("ping", "pong"):
            getattr(server, f"send_{kind}")(payload[:125])
            pings += [payload[:125]] if kind == "ping" else []
            continue
        messages.append(payload)
        if kind == "fragments":
            third = size // 3
            server.send_text(payload[:third], fin=False)
            server.send_ping(b"between")
            pings.append(b"between")
            server.send_continuation(payload[third : 2 * third], fin=False)
            server.send_continuation(payload[2 * third :], fin=True)
        else:
            getattr(server, f"send_{kind}")(payload)
    found = torn(wire, b"".join(server.data_to_send()), cuts)
    assert found.messages == messages
    assert found.pings == pings
    assert found.reply == b""  # pongs are the caller's to send, at its own pace
    assert all(type(m) is bytes for m in found.messages)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!BBQ", 0x81, 127, 1 << 40),  # only the header of a terabyte
        wire_frame(b"x" * 1001),
        wire_frame(b"x" * 600, 0x01) + wire_frame(b"x" * 600, 0x80),  # too large in two fragments
    ],
)
def test_an_oversize_message_is_refused_with_1009_and_what_came_before_counts(data: bytes) -> None:
    wire, server = opened(1000)
    found = wire.receive(wire_frame(b"good") + data)
    assert found.messages == [b"good"]
    assert found.refused
    assert found.ended
    server.receive_data(found.reply)
    assert server.close_rcvd is not None
    assert server.close_rcvd.code == 1009
    assert wire.receive(wire_frame(b"more")).messages == []


def test_a_bomb_is_not_unpacked() -> None:
    wire, _ = opened(1000, compression=True)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(bytes(10_000)) + packer.flush(zlib.Z_SYNC_FLUSH)
    found = wire.receive(wire_frame(packed[:-4], 0xC1))
    assert (found.messages, found.refused) == ([], True)


@pytest.mark.parametrize(
    "data",
    [
        b"\x81\x85mask\x00\x00\x00\x00\x00",  # masked by the server
        b"\x83\x01x",  # reserved opcode
        b"\xc1\x01x",  # compressed, but that was not agreed
        b"\x89\x7e\x00\x80" + b"x" * 128,  # a ping that is too long
        b"\x80\x01x",  # a continuation of nothing
        b"\x01\x01x\x81\x01y",  # a new message within fragments
    ],
)
def test_wrong_frames_end_the_connection_at_once(data: bytes) -> None:
    wire, server = opened()
    found = wire.receive(wire_frame(b"good") + data)
    assert found.messages == [b"good"]
    assert found.ended
    assert not found.refused
    server.receive_data(found.reply)
    assert server.close_rcvd is not None
    assert server.close_rcvd.code == 1002


def test_the_servers_close_is_answered_and_ends_it() -> None:
    wire, server = opened()
    server.send_text(b"last")
    server.send_close(1001, "going")
    found = wire.receive(b"".join(server.data_to_send()))
    assert found.messages == [b"last"]
    assert found.ended
    assert "1001" in found.ended
    server.receive_data(found.reply)
    assert server.close_rcvd is not None


def test_messages_still_count_between_our_close_and_its_answer() -> None:
    wire, server = opened()
    closing = wire.close()
    server.send_text(b"on its way")
    data = b"".join(server.data_to_send())
    server.receive_data(closing)
    found = wire.receive(data + b"".join(d for d in server.data_to_send() if d))
    assert found.messages == [b"on its way"]
    assert found.ended


def test_frames_in_the_same_read_as_the_handshake_count_and_so_does_a_torn_handshake() -> None:
    wire = Wire("ws://exchange.test/ws", 1000)
    server = ServerProtocol()
    server.receive_data(wire.opening())
    (request,) = server.events_received()
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    server.send_text(b"early")
    data = b"".join(server.data_to_send())
    assert torn(wire, data, [10, 11, len(data) - 3]).messages == [b"early"]


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (b"HTTP/1.1 429 No\r\nRetry-After: 17\r\nContent-Length: 2\r\n\r\nno", 17),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", None),
        (b"SSH-2.0-nonsense\r\n\r\n", None),
        (b"x" * 70_000, None),
    ],
)
def test_a_refused_handshake_says_so(answer: bytes, wait: float | None) -> None:
    wire = Wire("ws://exchange.test/ws", 1000)
    wire.opening()
    with pytest.raises(ConnectorError) as caught:
        wire.receive(answer)
    assert caught.value.retry_after == wait


def test_an_end_within_the_handshake_or_later_is_told() -> None:
    wire = Wire("ws://exchange.test/ws", 1000)
    wire.opening()
    wire.receive(b"HTTP/1.1 1")
    with pytest.raises(ConnectorError, match="handshake"):
        wire.receive_eof()
    later, _ = opened()
    later.receive(b"\x81\x05he")
    assert later.receive_eof().ended
    assert later.receive_eof().ended is None


@pytest.mark.parametrize("url", ["http://x", "exchange.test", "", "ws://"])
def test_other_addresses_are_wrong_settings(url: str) -> None:
    with pytest.raises(ConfigError, match="WebSocket address"):
        address(url)


def test_what_we_send_is_read_by_a_server() -> None:
    wire, server = opened()
    server.receive_data(wire.text(b"hello") + wire.pong(b"p"))
    assert [(e.opcode, bytes(e.data)) for e in server.events_received()] == [
        (Opcode.TEXT, b"hello"),
        (Opcode.PONG, b"p"),
    ]
