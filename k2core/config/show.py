"""`k2 config show`: every value that holds, with where it comes from; secrets are masked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from k2core.config.load import CORE, Path_
from k2core.config.resolve import Config
from k2core.discovery.registry import Registry
from k2core.errors import K2Error

MASK = "********"


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: dotted path, value as JSON can hold it, and `default`, a file, a variable or `command line`."""

    key: str
    value: Any
    origin: str


def rows(config: Config, registry: Registry) -> list[Row]:
    """Every setting of core and of the named components, in the order of the sections."""
    found: list[Row] = []
    for section in config.sections:
        found.append(_row((*section.path, "use"), section.use, config))
        try:
            _, settings = config.settings(section, registry)
        except K2Error as error:
            found.append(Row(".".join(section.path), str(error), "error"))
            continue
        found += _of_model(settings, section.path, config)
    for name in CORE:
        found += _of_model(getattr(config, name), (name,), config)
    return found


def _of_model(settings: BaseModel, path: Path_, config: Config) -> Iterator[Row]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _of_model(value, (*path, name), config)
        else:
            yield _row((*path, name), value, config)


def _row(path: Path_, value: Any, config: Config) -> Row:
    return Row(".".join(path), _plain(value), config.layers.origins.get(path, "default"))


def _plain(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
