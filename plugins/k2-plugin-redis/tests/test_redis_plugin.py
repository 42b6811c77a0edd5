"""Settings and entry module: light, typed, and no password in anything that is shown."""

from __future__ import annotations

import subprocess
import sys

import pytest
from k2_plugin_redis.settings import RedisSettings
from pydantic import ValidationError


def test_the_entry_module_is_light() -> None:
    heavy = "import sys, k2_plugin_redis; print([m for m in ('numpy', 'pyarrow', 'redis') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_a_password_is_shown_nowhere() -> None:
    settings = RedisSettings(url="redis://me:hunter2@10.0.0.1:6379/0")  # type: ignore[arg-type]
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()}"


@pytest.mark.parametrize("url", ["http://10.0.0.1", "127.0.0.1:6379", "redis:/x"])
def test_an_address_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="rediss://"):
        RedisSettings(url=url)  # type: ignore[arg-type]
