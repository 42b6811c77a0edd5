"""What the importer suite works with: the author's files, and everything that reading one yields."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from k2core.clock import SystemClock
from k2core.component import Context
from k2core.interfaces.importer import Importer, ImportSource, Mark
from k2core.records.builtin import BUILTIN_DATA_TYPES
from k2core.records.data_type import DataType
from k2core.telemetry.metrics import Metrics
from k2core.testing.conformance.facts import given
from k2core.testing.conformance.light import LightSuite


@dataclass
class Reading:
    """A file read to its end.

    Args:
        source: What read it.
        numbers: Row number of each frame, in order.
        origins: What the batches name as their origin.
        rows: Records as plain rows, in order.
        dead: By row number, the reason of each refusal.
        control: Frames that were called control.
        marks: Behind each batch, frames yielded so far and the mark given for them.
    """

    source: ImportSource
    numbers: list[int] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)
    rows: list[dict[str, Any]] = field(default_factory=list)
    dead: dict[int, str] = field(default_factory=dict)
    control: int = 0
    marks: list[tuple[int, Mark | None]] = field(default_factory=list)


class ImporterFacts(LightSuite):
    """What the author of an importer gives.

    Attributes:
        records: What the first rows of every file mean, worked out by hand: at least two, with the columns that you know.
        data_types: Data types of the plugin's own.
        most_rows: Rows of the longest file that the suite asks for.
    """

    records: ClassVar[Sequence[Mapping[str, Any]]]
    data_types: ClassVar[Sequence[DataType]] = ()
    most_rows: ClassVar[int] = 300

    def file(self, folder: Path, rows: int, broken: int | None = None) -> Path:
        """Write a file of the first `rows` of always the same rows, two of which are equal; the same bytes every time.

        Args:
            folder: Where it goes; it is empty.
            rows: How many.
            broken: Number of a row (the first is 1) that is written so that it can be no record.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method `file`, which writes a file of so many rows")

    def make(self, **options: Any) -> Importer:
        """What the component's factory makes."""
        types = {one.name: one for one in (*BUILTIN_DATA_TYPES, *self.data_types)}
        logger = logging.getLogger(f"k2.conformance.{self.component.name}")
        context = Context(clock=SystemClock(), logger=logger, metrics=Metrics(), data_types=types)
        made = self.component.factory(self.component.settings(**{**self.options, **options}), context)
        return given(made, Importer)  # type: ignore[type-abstract]

    @property
    def _data_type(self) -> DataType:
        (name,) = self.make().facts.channels
        return next(one for one in (*BUILTIN_DATA_TYPES, *self.data_types) if one.name == name)

    @contextmanager
    def _a_file(self, rows: int, broken: int | None = None, name: str = "") -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as folder:
            path = self.file(Path(folder), rows, broken)
            yield path.rename(path.with_name(name + path.name)) if name else path

    def _read(self, path: Path, marks: Sequence[Mark] = ()) -> Reading:
        """Read a file to its end; marks go through JSON, as they are kept."""
        importer = self.make()
        reading = Reading(importer.source(path, json.loads(json.dumps(list(marks)))))

        async def run() -> None:
            async with reading.source:
                async for batch in reading.source.frames():
                    self._take(importer, reading, batch)

        self.run(run())
        return reading

    def _take(self, importer: Importer, reading: Reading, batch: Any) -> None:
        found = importer.normalizer.normalize(batch)
        reading.numbers += range(batch.first_number, batch.first_number + len(batch))
        reading.origins.add(batch.origin)
        reading.rows += [row for records in found.records.values() for row in records.to_pylist()]
        reading.dead |= {batch.first_number + one.index: one.reason for one in found.rejected}
        reading.control += found.control
        reading.marks.append((len(reading.numbers), reading.source.mark(len(reading.numbers))))

    def _ids(self, reading: Reading) -> list[str]:
        column = self._data_type.id_column
        assert column is not None, f"{self._data_type.name} has no id: what comes twice would be stored twice"
        return [str(row[column]) for row in reading.rows]
