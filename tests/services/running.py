"""`running`: services of a test's own, which it may break. Where they cannot be had, the test is skipped and says why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.services.process import Service, UnavailableError


@contextmanager
def running(*services: Service) -> Iterator[None]:
    """Start them at the same time, and stop them in the end, the last one first."""
    with ExitStack() as stack:
        try:
            for one in services:
                stack.callback(one.stop)
                one.launch()
            for one in services:
                one.wait()
        except UnavailableError as error:
            pytest.skip(str(error))
        yield
