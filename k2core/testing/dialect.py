"""`Dialect`: what a fake exchange must know of an exchange's protocol. The server and its faults live in `exchange`."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from k2core.testing.issued import Issued


class Memory:
    """The newest payloads of each stream, heard or not: what an exchange tells whoever subscribes anew.

    Args:
        most: How many of a stream are kept.

    Attributes:
        noted: Who is told of what is sent out of memory; None where nobody wants to know.
    """

    def __init__(self, most: int) -> None:
        self._newest: defaultdict[str, deque[bytes]] = defaultdict(partial(deque, maxlen=most))
        self.noted: Issued | None = None

    def keep(self, stream: str, payload: bytes) -> None:
        """A sound frame happened."""
        self._newest[stream].append(payload)

    def newest(self, stream: str) -> Sequence[bytes]:
        """What is kept of a stream, the newest last."""
        return self._newest[stream]

    def issue(self, payload: bytes) -> bytes:
        """A payload that is sent outside of the tape: what it holds counts as issued."""
        if self.noted:
            self.noted.note(payload)
        return payload


class Dialect:
    """How one exchange's protocol is spoken by the fake server. Called on the event loop; must not block.

    Args:
        symbols: Those that exist.

    Attributes:
        remembers: How many payloads of each stream `memory` keeps.
    """

    remembers: ClassVar[int] = 1

    def __init__(self, symbols: Sequence[str] = ()) -> None:
        self.symbols = list(symbols)

    @cached_property
    def memory(self) -> Memory:
        """What happened lately; a `TapeExchange` keeps it."""
        return Memory(self.remembers)

    def on_connect(self, path: str) -> set[str]:
        """Streams that a client subscribes to through the URL's path and query, as `/stream?streams=a/b`; none here."""
        return set()

    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        """Answer a client's control message. To be written, unless `answer` is.

        Args:
            message: What the client sent.
            current: The streams it is subscribed to.

        Returns:
            The replies, and all streams that it is subscribed to from now on (`current` with what was added and
            without what was dropped).
        """
        if type(self).answer is Dialect.answer:
            raise NotImplementedError(f"{type(self).__name__} writes neither `on_message` nor `answer`")
        return self.answer(message, current, set())

    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Answer a GET: status, headers, body. 404 where there is no such route; here there is none."""
        return 404, {}, b""

    def shutdown_frame(self, path: str) -> bytes:
        """The frame that tells a client that the server is about to close; empty, as here, where there is none."""
        return b""

    def wrap(self, path: str, stream: str, frame: bytes) -> bytes:
        """The frame as a client that connected with `path` gets it: combined streams name the stream around it."""
        return frame

    def refuse(self, message: bytes, streams: set[str]) -> list[bytes]:
        """Replies that refuse a control message because of `streams`; by default none (it stays unanswered)."""
        return []

    def answer(self, message: bytes, current: set[str], refused: set[str]) -> tuple[list[bytes], set[str]]:
        """`on_message`, with streams that this server refuses. By default one of them refuses the whole message.

        An exchange that answers each stream by itself writes this instead, and accepts the others.
        """
        replies, streams = self.on_message(message, current)
        if asked := (streams - current) & refused:
            return self.refuse(message, asked), current
        return replies, streams

    def greeting(self, path: str) -> list[bytes]:
        """Frames that a client gets right after the handshake; by default none."""
        return []

    def heartbeat(self, streams: set[str]) -> list[bytes]:
        """Frames sent every `ServerLimits.heartbeat_interval` to a client with these streams; by default none."""
        return []
