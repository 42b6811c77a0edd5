"""TLS against a real Redis with certificates of openssl, and users with as few rights as they need."""

from __future__ import annotations

import contextlib
import logging
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import redis_servers as servers
import redis_world as world
from k2_plugin_redis.settings import RedisSettings
from pydantic import ValidationError

from k2core.testing.conformance.dedup_world import KnownTable
from tests.services.process import UnavailableError
from tests.services.redis import Redis
from tests.services.running import running

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    try:
        return pathlib.Path(servers.certificates(tmp_path_factory.mktemp("redis-tls")))
    except UnavailableError as error:
        pytest.skip(str(error))


@contextlib.contextmanager
def serving(server: Redis) -> Iterator[Redis]:
    with running(server):
        yield server


def works(url: str, **settings: Any) -> None:
    writer = world.Writer(url, KnownTable(), "opaque", timeout_ms=2000, **settings)
    assert writer.write([1, 2, 1]) == [True, True, False]
    assert writer.write([2, 3]) == [False, True]
    assert not writer.degraded
    writer.store.close()


def refused(url: str, caplog: pytest.LogCaptureFixture, reason: str = "refused", **settings: Any) -> str:
    """Goes on without; what it says of that."""
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        writer = world.Writer(url, KnownTable(), "opaque", timeout_ms=2000, **settings)
        assert writer.write([1, 2, 1]) == [True, True, False]
    assert writer.metric("k2_dedup_degradations_total", reason=reason) == 1
    found = [one.detail for one in writer.store.findings() if not one.ok]
    said = f"{caplog.text} {found} {writer.store!r} {writer.store._link._client!r}"
    writer.store.close()
    return said


def test_tls_with_our_own_authority(files: pathlib.Path, tmp_path: pathlib.Path, caplog: Any) -> None:
    with serving(servers.TlsRedis(tmp_path, files)) as server:
        works(server.url, tls_ca=files / "ca.crt")
        for authority in (files / "other.crt", None):
            said = refused(server.url, caplog, tls_ca=authority)
            assert "certificate is not trusted" in said
            assert "dedup.tls_ca" in said
        elsewhere = server.url.replace("127.0.0.1", "localhost")
        assert "dedup.url a host that it is for" in refused(elsewhere, caplog, tls_ca=files / "ca.crt")


def test_redis_wants_a_certificate_of_ours(files: pathlib.Path, tmp_path: pathlib.Path, caplog: Any) -> None:
    with serving(servers.TlsRedis(tmp_path, files, mutual=True)) as server:
        ours = {"tls_certificate": files / "client.crt", "tls_key": files / "client.key"}
        works(server.url, tls_ca=files / "ca.crt", **ours)
        assert "dedup.tls_certificate" in refused(server.url, caplog, tls_ca=files / "ca.crt")


def test_a_port_that_speaks_no_tls(files: pathlib.Path, tmp_path: pathlib.Path, caplog: Any) -> None:
    with serving(Redis(tmp_path)) as server:
        url = server.url.replace("redis:", "rediss:")
        assert "is it a TLS port? else" in refused(url, caplog, "slow", tls_ca=files / "ca.crt", connect_timeout_ms=50)


def test_a_user_with_the_rights_of_the_readme_is_enough(tmp_path: pathlib.Path, caplog: Any) -> None:
    rights = next(line for line in README.splitlines() if line.startswith("ACL SETUSER")).split()
    with serving(Redis(tmp_path)) as server:
        servers.said(server, *[">hunter2" if word.startswith(">") else word for word in rights])
        servers.said(server, "ACL", "SETUSER", "default", "off")
        works(server.url.replace("//", "//k2:hunter2@"))
        works(server.url.replace("//", "//k2:hunter2@").replace("/0", "/3"))
        for user in ("k2:hunter3", "hunter:hunter3", ":hunter3", ""):
            said = refused(server.url.replace("//", f"//{user}@" if user else "//"), caplog)
            assert "password" in said.lower() or "Authentication required" in said
            assert "hunter" not in said.replace("hunter:", "")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"tls_ca": "ca.crt"}, "rediss://"),
        ({"sentinels": ["10.0.0.1"]}, "host:port"),
        ({"sentinels": ["10.0.0.1:1"], "url": "redis://main:6379/0"}, "redis://mymaster/0"),
        ({"sentinels": ["10.0.0.1:1"], "url": "unix:///run/redis.sock"}, "redis://mymaster/0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        RedisSettings(**settings)


def test_no_secret_is_shown() -> None:
    made = RedisSettings(url="rediss://me:hunter2@Main/0", sentinels=["h:1"], sentinel_password="hunter2")  # type: ignore[arg-type]
    assert "hunter" not in f"{made!r} {made} {made.model_dump()} {made.model_dump_json()}"
    assert made.primary == "Main"
