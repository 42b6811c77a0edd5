"""`Dialect`: what a fake exchange must know of an exchange's protocol. The server and its faults live in `exchange`."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Dialect(ABC):
    """How one exchange's protocol is spoken by the fake server. Called on the event loop; must not block."""

    def on_connect(self, path: str) -> set[str]:
        """Streams that a client subscribes to through the URL's path and query, as `/stream?streams=a/b`; none here."""
        return set()

    @abstractmethod
    def on_message(self, message: bytes, current: set[str]) -> tuple[list[bytes], set[str]]:
        """Answer a client's control message.

        Args:
            message: What the client sent.
            current: The streams it is subscribed to.

        Returns:
            The replies, and all streams that it is subscribed to from now on (`current` with what was added and
            without what was dropped).
        """

    @abstractmethod
    def rest(self, path: str, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Answer a GET: status, headers, body. 404 where there is no such route."""

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

        An exchange that answers each stream by itself accepts the others here.
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
