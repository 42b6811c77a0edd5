"""`Plan`: from settings and data type, which record column is read from which column of the file, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from k2_plugin_files.settings import ColumnSettings, FilesSettings
from k2_plugin_files.times import Times
from k2core.plugin import Column, ConfigError, DataType

OWN = (
    "exchange",
    "exchange_timestamp_ms",
    "exchange_timestamp_us",
    "received_timestamp_us",
    "source",
    "timestamp_source",
)
"""Record columns that the importer fills by itself."""


@dataclass(frozen=True, slots=True)
class Field:
    """A record column and where it comes from.

    Args:
        column: The record's column.
        name: The file's column.
        power: Exponent of the scale.
        values: What words mean; empty: as they are.
        missing: What an empty field means.
    """

    column: Column
    name: str
    power: int
    values: Mapping[str, str]
    missing: str | None


class Plan:
    """How one layout becomes one data type.

    Args:
        settings: The layout.
        data_types: Those there are.

    Raises:
        ConfigError: They do not fit together.
    """

    def __init__(self, settings: FilesSettings, data_types: Mapping[str, DataType]) -> None:
        if (kind := data_types.get(settings.data_type)) is None or kind.table is None:
            known = ", ".join(sorted(n for n, t in data_types.items() if t.table))
            raise ConfigError(
                f"data_type: there is no data type {settings.data_type!r} with a table here; there are: {known}"
                + ("; try `pip install k2-plugin-ticks`" if settings.data_type == "ticks" else "")
            )
        self.settings, self.data_type = settings, kind
        self.times = Times(settings.time)
        self._columns = {c.name: c for c in kind.columns if c.name not in OWN}
        self.fields = tuple(self._field(name, given) for name, given in sorted(settings.columns.items()))
        self.constants = {self._known(name, "constants").name: text for name, text in settings.constants.items()}
        self.makes_ids = kind.id_column is not None and kind.id_column not in settings.columns
        self._check()

    @property
    def wanted(self) -> tuple[str, ...]:
        """The file's columns that are read, each once."""
        return tuple(dict.fromkeys((*(f.name for f in self.fields), *self.settings.time.columns)))

    @property
    def whole(self) -> frozenset[str]:
        """The file's columns of ids and whole numbers: a double in them has to be a whole one."""
        exact = (f for f in self.fields if f.column.kind == "long" or f.column.name == self.data_type.id_column)
        return frozenset(f.name for f in exact)

    @property
    def seed(self) -> bytes:
        """What made ids depend on besides the rows: every setting that changes what a row says.

        It depends on what settings mean, not on how they are written: keys sorted, defaults spelled out. What is told
        here of a layout must never change, or all its ids would: a new setting is to be told only where it is not at
        its default.
        """
        how = self.settings.time
        told = {
            "exchange": self.settings.exchange,
            "data_type": self.data_type.name,
            "columns": {
                f.column.name: {"column": f.name, "power": f.power, "values": dict(f.values), "missing": f.missing}
                for f in self.fields
            },
            "constants": self.constants,
            "time": {
                "columns": how.columns, "format": how.format, "zone": how.zone, "ambiguous": how.ambiguous,
            },
        }  # fmt: skip
        return json.dumps(told, sort_keys=True).encode()

    def _field(self, name: str, given: str | ColumnSettings) -> Field:
        column = self._known(name, "columns")
        if isinstance(given, str):
            return Field(column, given, 0, {}, None)
        power = int(given.scale.normalize().as_tuple().exponent)
        if power and column.kind != "double":
            raise ConfigError(
                f"columns.{name}.scale: only numbers with decimals have a scale, and {name} is a {column.kind}"
            )
        return Field(column, given.column, power, given.values, given.missing)

    def _known(self, name: str, where: str) -> Column:
        if name not in self._columns:
            hint = "is filled by the importer" if name in OWN else "is unknown"
            there = ", ".join(self._columns)
            raise ConfigError(
                f"{where}.{name}: {hint}: {self.data_type.name} takes {there}; the time stands in [….time]"
            )
        return self._columns[name]

    def _check(self) -> None:
        if both := set(self.settings.columns) & set(self.constants):
            raise ConfigError(f"{sorted(both)[0]} stands in columns and in constants: one is enough")
        if not self.settings.time.columns:
            raise ConfigError("time.columns: name the column that holds the event time, or those of date and time")
        given = {*self.settings.columns, *self.constants, *([self.data_type.id_column] if self.makes_ids else [])}
        if lacking := [n for n, c in self._columns.items() if not c.nullable and n not in given]:
            raise ConfigError(
                f"columns: {self.data_type.name} needs {', '.join(lacking)}: name a column for each, or a constant"
            )
