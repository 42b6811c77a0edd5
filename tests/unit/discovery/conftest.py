"""A site folder of its own for each test."""

from __future__ import annotations

import functools
import pathlib
import sys
from collections.abc import Iterator

import pytest

from tests.unit.discovery.plugin_site import Find, Install, found_in, put


@pytest.fixture
def site(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [n for n, m in sys.modules.items() if str(tmp_path) in str(getattr(m, "__file__", ""))]:
        del sys.modules[name]


@pytest.fixture
def install(site: pathlib.Path) -> Install:
    return functools.partial(put, site)


@pytest.fixture
def find(site: pathlib.Path) -> Find:
    return functools.partial(found_in, site)
