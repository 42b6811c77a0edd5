"""What a Binance frame is for: told from its first bytes, or by reading its outer shape where those do not say.

Faults survived: any bytes at all. Nothing here raises on what an exchange, or whoever plays one, may send.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from k2core.plugin import UNREADABLE, Refusal, refusal_of

_HEAD_BYTES = 36
_RAW_HEAD_BYTES = 12


class Shape(NamedTuple):
    """A frame of market data: which data type, and whether it is wrapped with its stream's name."""

    data_type: str
    wrapped: bool


@dataclass(frozen=True, slots=True)
class Control:
    """A frame that carries no market data.

    Args:
        what: `ack`, `refused`, `shutdown` or `answer` (to a query of ours).
        request_id: The request it answers, as text, where it names one.
        message: The exchange's own words, for errors.
    """

    what: str
    request_id: str | None = None
    message: str = ""


class Envelope(msgspec.Struct, gc=False):
    """The outer shape of every message that Binance spot sends; each field may be absent.

    Combined: `{"stream":"btcusdt@trade","data":{…}}`. Raw: the event itself, with `e`, except best quotes.
    Answers: `{"result":null,"id":1}`, `{"code":2,"msg":"Invalid request: …","id":1}`, and since 2024 also
    `{"error":{"code":2,"msg":"…"},"id":1}`. Farewell: `{"e":"serverShutdown","E":1753180000000}`.
    """

    stream: Any = UNSET
    data: Raw | UnsetType = UNSET
    e: Any = UNSET
    t: Raw | UnsetType = UNSET
    u: Raw | UnsetType = UNSET
    b: Raw | UnsetType = UNSET
    a: Raw | UnsetType = UNSET
    result: Any = UNSET
    error: Any = UNSET
    code: Any = UNSET
    msg: Any = UNSET
    id: Any = None


_decode = msgspec.json.Decoder(Envelope).decode
_skim = msgspec.json.Decoder(Raw).decode


def head_bytes(frame: bytes) -> int:
    """How many first bytes tell a frame's shape and are the same for most frames of a stream.

    Wrapped frames of symbols up to 18 bytes need 36; raw ones 12, for their ids and times begin early.
    """
    return _HEAD_BYTES if frame.startswith(b'{"stream":"') else _RAW_HEAD_BYTES


def shape_of_head(head: bytes) -> Shape | None:
    """The shape of frames that begin like this, or None where that takes a closer look."""
    if head.startswith(b'{"stream":"'):
        if b'@trade"' in head:
            return Shape("trades", True)
        return Shape("quotes", True) if b"@bookTi" in head else None
    if head.startswith(b'{"e":"trade"'):
        return Shape("trades", False)
    return Shape("quotes", False) if head.startswith(b'{"u":') else None


def inspect(frame: bytes) -> Shape | Control | Refusal:
    """What any frame is for. Slow and sure; `shape_of_head` answers for the usual ones."""
    try:
        if not frame.lstrip().startswith(b"{"):
            _skim(frame)  # malformed, or JSON but no object?
        envelope = _decode(frame)
    except UNREADABLE as error:
        return refusal_of(error)
    if envelope.stream is not UNSET or envelope.data is not UNSET:
        return _wrapped(envelope)
    return _answer(envelope) or _event(envelope)


def _wrapped(envelope: Envelope) -> Shape | Control | Refusal:
    if envelope.stream is UNSET or envelope.data is UNSET:
        missing = "stream" if envelope.stream is UNSET else "data"
        return Refusal("missing-field", f"Object missing required field `{missing}`")
    stream = envelope.stream
    if not isinstance(stream, str):
        return Refusal("wrong-type", "Expected `str` - at `$.stream`")
    if stream == "!serverShutdown":
        return Control("shutdown")
    if stream.endswith("@trade"):
        return Shape("trades", True)
    if stream.endswith("@bookTicker"):
        return Shape("quotes", True)
    return Refusal("unknown-message", f"stream {stream[:80]!r} carries neither trades nor quotes")


def _answer(envelope: Envelope) -> Control | None:
    named = _text(envelope.id) or None
    if envelope.error is not UNSET or (envelope.code is not UNSET and envelope.msg is not UNSET):
        return Control("refused", named, _message(envelope))
    if envelope.result is not UNSET:
        return Control("ack" if envelope.result is None else "answer", named)
    return Control("shutdown") if envelope.e == "serverShutdown" else None


def _message(envelope: Envelope) -> str:
    error = envelope.error if isinstance(envelope.error, dict) else {"code": envelope.code, "msg": envelope.msg}
    return f"{_text(error.get('msg'))} (code {_text(error.get('code'))})"


def _text(value: Any) -> str:
    """A word or number for a message; nothing for whatever else a hostile peer may put there."""
    return str(value)[:200] if isinstance(value, str | int) else ""


def _event(envelope: Envelope) -> Shape | Refusal:
    if envelope.e == "trade" or (envelope.e is UNSET and envelope.t is not UNSET):
        return Shape("trades", False)
    quotes = envelope.u is not UNSET or (envelope.b is not UNSET and envelope.a is not UNSET)
    if envelope.e == "bookTicker" or (envelope.e is UNSET and quotes):
        return Shape("quotes", False)
    what = "the message names no event" if envelope.e is UNSET else f"event {_text(envelope.e)!r}"
    return Refusal("unknown-message", f"{what}: neither a trade nor a best quote")
