"""What stands around a Redis: a relay that is slow or moves, a Sentinel, a server that speaks TLS, certificates."""

from __future__ import annotations

import contextlib
import selectors
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from redis import Redis as Client
from redis.exceptions import RedisError

from tests.services.install import program
from tests.services.process import Service, free_port
from tests.services.redis import Redis

SYNC_S = 120.0


class Relay:
    """An address that can move to another server, and hold back what passes through it.

    Args:
        target: Port of the server.

    Attributes:
        delay_s: Every answer waits so long.
        delayed: Answers that waited.
    """

    def __init__(self, target: int) -> None:
        self.target, self.delay_s, self.delayed = target, 0.0, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target), 5) as far:
            ready = selectors.DefaultSelector()
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            with ready:
                while self._step(ready, far):
                    pass

    def _step(self, ready: selectors.DefaultSelector, far: socket.socket) -> bool:
        for key, _ in ready.select():
            data = key.fileobj.recv(65_536)  # type: ignore[union-attr]
            if not data:
                return False
            if key.fileobj is far and self.delay_s:
                self.delayed += 1
                time.sleep(self.delay_s)
            key.data.sendall(data)
        return True


@contextlib.contextmanager
def pair(folder: Path) -> Iterator[tuple[Redis, Redis]]:
    """A primary and its replica, in step."""
    at_once = ["--repl-diskless-sync-delay", "0"]
    with (
        Redis(folder / "a", *at_once) as first,
        Redis(folder / "b", "--replicaof", "127.0.0.1", str(first.port), *at_once) as second,
    ):
        in_step(first, second)
        try:
            yield first, second
        finally:  # SIGTERM waits for replicas
            first.kill()
            second.kill()


def in_step(primary: Redis, replica: Redis) -> None:
    """Wait until a replica has all that its primary has."""

    def same() -> bool:
        with Client.from_url(primary.url) as one, Client.from_url(replica.url) as other:
            there, here = one.info("replication"), other.info("replication")
            behind = int(there["master_repl_offset"]) - int(here["slave_repl_offset"])
            return here["master_link_status"] == "up" and behind <= 0

    until(same)


def said(server: Redis, *command: str | int) -> None:
    with Client.from_url(server.url) as client:
        client.execute_command(*command)


def cut_off(replica: Redis) -> None:
    """It hears nothing of its primary any more, and keeps what it has."""
    said(replica, "REPLICAOF", "127.0.0.1", free_port())


def promote(replica: Redis) -> None:
    said(replica, "REPLICAOF", "NO", "ONE")


def until(true: Callable[[], bool], within_s: float = SYNC_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.02)


class Sentinel(Service):
    """One that alone decides (a quorum of 1), after 200 ms.

    Args:
        folder: Of its settings, which it rewrites.
        primary: What it watches, as `Main`.
        password: Of its own.
    """

    def __init__(self, folder: Path, primary: Redis, password: str = "") -> None:
        super().__init__(folder)
        lines = [
            f"port {self.port}", "bind 127.0.0.1", f"sentinel monitor Main 127.0.0.1 {primary.port} 1",
            "sentinel down-after-milliseconds Main 200", "sentinel failover-timeout Main 2000",
            *([f"requirepass {password}"] if password else []),
        ]  # fmt: skip
        (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
        self._password = password or None

    def command(self) -> Sequence[str]:
        return [program("redis-server", "redis-server"), str(self.folder / "sentinel.conf"), "--sentinel"]

    def answers(self) -> bool:
        return self.primary() > 0

    def primary(self) -> int:
        """The port of what it takes for the primary; 0 while it does not answer."""
        with contextlib.suppress(RedisError), Client(port=self.port, password=self._password) as client:
            return int(client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "Main")[1])
        return 0

    def replicas(self) -> int:
        with Client(port=self.port, password=self._password) as client:
            return len(client.execute_command("SENTINEL REPLICAS", "Main"))


class TlsRedis(Redis):
    """Speaks nothing but TLS; wants a certificate of its clients where `mutual`."""

    def __init__(self, folder: Path, certificates: Path, *options: str, mutual: bool = False) -> None:
        files = [("cert", "server.crt"), ("key", "server.key"), ("ca-cert", "ca.crt")]
        named = [word for name, file in files for word in (f"--tls-{name}-file", str(certificates / file))]
        super().__init__(folder, *named, "--tls-auth-clients", "yes" if mutual else "no", *options)

    @property
    def url(self) -> str:
        return f"rediss://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str]:
        words = list(super().command())
        words[words.index("--port")] = "--tls-port"
        return [*words, "--port", "0"]

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


def certificates(folder: Path) -> Path:
    """An authority `ca.crt`, another one `other.crt`, and of the first a server's for 127.0.0.1 and a client's."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*words: str) -> None:
        subprocess.run([program("openssl", "openssl"), *words], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("ca", "other"):
        openssl(
            "req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"
        )
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl("req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names", "-days", "2"]
        openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt")
    return folder
