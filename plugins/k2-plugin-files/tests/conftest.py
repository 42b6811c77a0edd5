"""An importer of trades without ids, as equities files have them, and the frames and records it makes of a file."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import k2_plugin_files
import pytest
from k2_plugin_files.settings import FilesSettings

from k2core.plugin import Context, FrameBatch, Importer, ImportSource, Mark, Metrics, SystemClock
from k2core.records.builtin import BUILTIN_DATA_TYPES

TRADES: dict[str, Any] = {
    "exchange": "asx",
    "asset_class": "equities",
    "data_type": "trades",
    "columns": {"symbol": "Code", "quantity": "Volume", "price": {"column": "Price", "scale": 0.01}},
    "time": {"columns": ["Date", "Time"], "format": "%d/%m/%Y %H:%M:%S.%f", "zone": "Australia/Sydney"},
}
HEAD = "Code,Date,Time,Price,Volume,Cond"


def importer(**settings: Any) -> Importer:
    (component,) = k2_plugin_files.k2_importers()
    types = {t.name: t for t in BUILTIN_DATA_TYPES}
    context = Context(clock=SystemClock(), logger=logging.getLogger("test"), metrics=Metrics(), data_types=types)
    return component.factory(FilesSettings.model_validate({**TRADES, **settings}), context)


@dataclass
class Read:
    """Everything that a source yielded, and what the normalizer made of it."""

    source: ImportSource
    rows: list[dict[str, Any]] = field(default_factory=list)
    dead: dict[int, str] = field(default_factory=dict)
    payloads: dict[int, bytes] = field(default_factory=dict)
    frames: int = 0
    marks: list[Mark | None] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [row["trade_id"] for row in self.rows]


def read(path: Path, marks: Sequence[Mark] = (), **settings: Any) -> Read:
    made = importer(**settings)
    found = Read(made.source(path, marks))

    async def run() -> None:
        async for batch in found.source.frames():
            take(batch)

    def take(batch: FrameBatch) -> None:
        normalized = made.normalizer.normalize(batch)
        found.rows += normalized.records["trades"].to_pylist()
        for one in normalized.rejected:
            found.dead[batch.first_number + one.index] = one.reason
            found.payloads[batch.first_number + one.index] = batch.frames[one.index]
        assert normalized.yielding + len(normalized.rejected) == len(batch)
        assert batch.origin == path.name
        found.frames += len(batch)
        found.marks.append(found.source.mark(found.frames))

    asyncio.run(run())
    return found


@pytest.fixture
def reading() -> Callable[..., Read]:
    """`reading(path, marks, **settings)`."""
    return read


@pytest.fixture
def importing() -> Callable[..., Importer]:
    """`importing(**settings)`."""
    return importer


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """`csv_file("BHP,02/02/2026,10:00:00.1,4512,100,", …, name="a.csv")`, header included."""

    def make(*lines: str, name: str = "trades.csv", head: str = HEAD) -> Path:
        path = tmp_path / name
        path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
        return path

    return make
