"""Conformance suites: what every component of a kind must do, as tests that third parties subclass.

`docs/specs/component.md` numbers the MUSTs; the numbers are in the tests' names. Suites are reached through
`k2core.testing` (`ConnectorSuite`, `NormalizerSuite` …).
"""

from __future__ import annotations

import pkgutil

import pytest

# The kit's tests are no test modules of the author's: pytest explains their asserts only if it is asked to.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)))
