"""Reads settings from file, environment and command line, and builds components from them.

`load` finds and merges the layers, `validate` checks a section against its model, `resolve` makes a `Config` of both,
`build` constructs components, `show` prints values with their origins, `reference` writes docs/configuration.md.
Every mistake is a `ConfigError` that names where it stands, what is wrong and the nearest right key.
"""

from __future__ import annotations

from k2core.config.load import Layers, load_layers
from k2core.config.resolve import Config, Section, load_config

__all__ = ["Config", "Layers", "Section", "load_config", "load_layers"]
