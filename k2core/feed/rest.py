"""`HttpRest`: bounded GETs for feeds. Survives servers that fail (tried again), ban (429, 418: reported, not retried),
hang (timeout) or answer without end (size limit).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import Field

from k2core.component import Settings
from k2core.errors import ConfigError, ConnectorError
from k2core.feed.pacing import Backoff, retry_after
from k2core.interfaces.connector import RestClient, RestResponse

if TYPE_CHECKING:
    import httpx2

BANNED = (418, 429)
LOOPBACK = ("127.0.0.1", "::1", "localhost")  # never through a proxy


class RestSettings(Settings):
    """Limits of one GET. Times in seconds."""

    timeout_s: float = Field(default=10, gt=0, description="One attempt, from connecting to the last byte.")
    attempts: int = Field(default=3, ge=1, description="Attempts when the server fails or cannot be reached.")
    max_body_bytes: int = Field(default=64 << 20, ge=1, description="A longer answer is refused.")
    backoff_initial_s: float = Field(default=0.5, gt=0, description="Longest pause before the second attempt.")
    backoff_max_s: float = Field(default=10, gt=0, description="Longest pause between attempts.")


class HttpRest(RestClient):
    """REST over HTTP. Each GET has its own connection: feeds ask rarely.

    Args:
        logger: For attempts that failed.
        settings: The limits.
        rng: Jitter.
        sleep: Waits between attempts.
    """

    def __init__(
        self,
        logger: logging.Logger,
        settings: RestSettings | None = None,
        *,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._logger, self._settings = logger, settings or RestSettings()
        self._rng, self._sleep = rng or random.Random(), sleep  # noqa: S311 - jitter, no secret

    async def get(self, url: str, params: Mapping[str, str] | None = None) -> RestResponse:
        """GET a URL. Answers below 500 are given as they are, except bans.

        Raises:
            ConnectorError: Banned or asked to wait (`retry_after`), no answer in all attempts, or too long a one.
            ConfigError: `url` is no HTTP address.
        """
        settings = self._settings
        backoff = Backoff(settings.backoff_initial_s, settings.backoff_max_s, self._rng)
        for attempt in range(1, settings.attempts + 1):
            try:
                answer = await self._once(url, params or {})
            except (OSError, ConnectorError) as error:
                failed = str(error) or type(error).__name__
            else:
                if answer is None:
                    raise ConnectorError(f"GET {url}: the answer is longer than {settings.max_body_bytes} bytes")
                if answer.status in BANNED:
                    wait = retry_after(answer.headers)
                    raise ConnectorError(f"GET {url}: answered with {answer.status}", retry_after=wait)
                if answer.status < 500:
                    return answer
                failed = f"answered with {answer.status}"
            self._logger.info("GET %s: %s (attempt %d of %d)", url, failed, attempt, settings.attempts)
            if attempt < settings.attempts:
                await self._sleep(backoff.next())
        raise ConnectorError(f"GET {url}: {failed}, {settings.attempts} times")

    async def _once(self, url: str, params: Mapping[str, str]) -> RestResponse | None:
        import httpx2

        try:
            here = urlsplit(url).hostname in LOOPBACK
            async with (
                asyncio.timeout(self._settings.timeout_s),
                httpx2.AsyncClient(timeout=None, verify=url.startswith("https:"), trust_env=not here) as client,
                client.stream("GET", url, params=dict(params)) as response,
            ):
                return await self._read(response)
        except (ValueError, httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise ConfigError(f"{url!r} is not an HTTP address: {error}; it begins with https://") from error
        except httpx2.HTTPError as error:
            raise ConnectorError(str(error) or type(error).__name__) from error

    async def _read(self, response: httpx2.Response) -> RestResponse | None:
        """The answer, or None where it is longer than the limit."""
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes(65_536):
            parts.append(part)
            size += len(part)
            if size > self._settings.max_body_bytes:
                return None
        headers: dict[str, Any] = {name.lower(): value for name, value in response.headers.items()}
        return RestResponse(response.status_code, headers, b"".join(parts))
