"""`k2 plugin new`: small working plugins to start from, one a kind."""

from __future__ import annotations
