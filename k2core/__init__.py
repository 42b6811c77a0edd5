"""k2core: the core of k2, a plugin-based framework for market data.

Plugin authors import `k2core.plugin` (and `k2core.testing` in their tests) and nothing else of this package.
"""

from __future__ import annotations

__version__ = "0.1.0"
