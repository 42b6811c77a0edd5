"""wss: frames over TLS, pushed back through TLS, and a certificate that nobody vouches for."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from k2core.feed.dialer import TcpDialer
from k2core.testing import FakeExchange
from tests.integration.feed.toy_exchange import FAST, ToyDialect, ToyFeed, ids, reading, trades, until_true

AAA = "AAA@trades"
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the test's certificate")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    asked = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2"]
    named = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*asked, *named], check=True, capture_output=True)
    return key, cert


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tls_before(server: FakeExchange, key: Path, cert: Path) -> AsyncIterator[int]:
    """A port that speaks TLS and passes on to the server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(copy(reader, outer), copy(inner, writer))

    front = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        front.close()


async def test_frames_come_over_tls_and_nothing_is_lost(certificate: tuple[Path, Path]) -> None:
    trusted = TcpDialer(ssl.create_default_context(cafile=certificate[1]))
    settings = FAST.model_copy(update={"queue_frames": 500})
    async with (
        FakeExchange(ToyDialect()) as server,
        tls_before(server, *certificate) as port,
        reading(ToyFeed(f"wss://127.0.0.1:{port}"), settings, dialer=trusted) as taken,
    ):
        await server.wait_subscribed({AAA})
        await server.send(AAA, trades(0, 50_000))
        assert ids(await taken.until(50_000)) == list(range(50_000))
        assert taken.connector.facts()["queue_pauses"] > 0


async def test_a_certificate_that_nobody_vouches_for_is_refused_and_said(certificate: tuple[Path, Path]) -> None:
    async with (
        FakeExchange(ToyDialect()) as server,
        tls_before(server, *certificate) as port,
        reading(ToyFeed(f"wss://127.0.0.1:{port}")) as taken,
    ):
        await until_true(lambda: taken.connector.facts()["failed_attempts"] >= 2)
        assert "CERTIFICATE_VERIFY_FAILED" in taken.connector.facts()["last_error"]
        assert server.counts["connects"] == 0
