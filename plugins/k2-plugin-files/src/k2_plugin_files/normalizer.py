"""`FileNormalizer`: rows of a file to records: pure, whole columns at a time, every refusal with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from k2_plugin_files.mapping import Field, Plan
from k2_plugin_files.numerals import doubles, longs
from k2_plugin_files.rows import RowFrames
from k2core.plugin import FrameBatch, NormalizationError, NormalizedBatch, Normalizer, Rejected

Mask = npt.NDArray[np.bool_]
SIDES = ("buy", "sell")
FUTURE_US, PAST_US = 86_400_000_000, 36_500 * 86_400_000_000
"""What the writer's defaults allow (`max_future_s`, `max_past_days`)."""


class Refused:
    """Which rows are refused so far, and why: the first reason of each counts."""

    def __init__(self, n: int) -> None:
        self.why: list[tuple[str, str] | None] = [None] * n
        self.any = np.zeros(n, bool)

    def add(self, mask: Mask, reason: str, detail: Callable[[int], str]) -> None:
        """Refuse rows."""
        for at in np.flatnonzero(mask & ~self.any).tolist():
            self.why[at] = (reason, detail(at)[:500])
        self.any |= mask


class FileNormalizer(Normalizer):
    """Reads what `FileSource` yields.

    Args:
        plan: How the layout becomes the data type.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        """Rows to records."""
        frames = batch.frames
        if not isinstance(frames, RowFrames):
            raise NormalizationError("frames of an import are rows of a file, made by the importer itself")
        refused = Refused(len(frames))
        for at, why in frames.broken.items():
            refused.why[at], refused.any[at] = why, True
        columns = dict(self._columns(frames, refused))
        columns |= self._times(frames, np.asarray(batch.received_ns, np.int64) // 1000, refused)
        if frames.ids is not None and self._plan.data_type.id_column:
            columns[self._plan.data_type.id_column] = pa.array(frames.ids, pa.string())
        columns |= self._constants(len(frames))
        records = pa.RecordBatch.from_pydict(columns)
        if refused.any.any():
            records = records.filter(pa.array(~refused.any))
        rejected = [Rejected(at, *why) for at, why in enumerate(refused.why) if why is not None]
        return NormalizedBatch(
            {self._plan.data_type.name: records}, rejected, yielding=len(frames) - len(rejected)
        )  # fmt: skip

    def _columns(self, frames: RowFrames, refused: Refused) -> Iterator[tuple[str, Any]]:
        for one in self._plan.fields:
            texts = frames.rows.column(one.name)
            given = _meant(texts, one, refused)
            if not one.column.nullable or one.column.name == self._plan.data_type.id_column:
                empty = given.is_null().to_numpy(zero_copy_only=False)
                refused.add(empty, "missing-field", _always(f"column {one.name!r} is empty"))
            yield one.column.name, self._value(one, given, refused)

    def _value(self, one: Field, texts: Any, refused: Refused) -> Any:
        there = texts.is_valid().to_numpy(zero_copy_only=False)
        if one.column.kind == "double":
            return pa.array(self._numbers(one, texts, there, refused), pa.float64(), mask=~there)
        if one.column.kind == "long":
            values, bad = longs(texts)
            refused.add(
                bad & there, "bad-number", lambda at: f"column {one.name!r} is {texts[at]}: wanted a whole number"
            )
            return pa.array(values, pa.int64(), mask=~there)
        if one.column.name == "side":
            wrong = there & ~pc.is_in(texts, pa.array(SIDES)).to_numpy(zero_copy_only=False)
            refused.add(
                wrong, "bad-side", lambda at: f"column {one.name!r} is {texts[at]}: wanted buy or sell (see values)"
            )
        return texts.dictionary_encode() if one.column.words else texts

    def _numbers(self, one: Field, texts: Any, there: Mask, refused: Refused) -> npt.NDArray[np.float64]:
        values, bad, inexact = doubles(texts, one.power)
        kind = self._plan.data_type
        low = (
            values <= 0
            if one.column.name in kind.positive
            else values < (0 if one.column.name in kind.not_negative else -np.inf)
        )
        refused.add(bad & there, "bad-number", lambda at: f"column {one.name!r} is {texts[at]}: wanted a number")
        refused.add(
            inexact & there, "inexact-number", lambda at: f"column {one.name!r} is {texts[at]}: a double cannot hold it"
        )
        refused.add(
            low & there, "bad-number", lambda at: f"column {one.name!r} is {texts[at]}: too low for {one.column.name}"
        )
        return values

    def _times(self, frames: RowFrames, now_us: npt.NDArray[np.int64], refused: Refused) -> dict[str, Any]:
        names = self._plan.settings.time.columns
        texts: Any = frames.rows.column(names[0])
        if len(names) > 1:
            parts: list[Any] = [frames.rows.column(n) for n in names]
            texts = pc.binary_join_element_wise(*parts, " ")
        us, good, doubtful = self._plan.times.read(texts)
        how = self._plan.settings.time
        refused.add(~good, "bad-time", lambda at: f"{' '.join(names)} is {texts[at]}: wanted {how.format}")
        refused.add(
            doubtful, "ambiguous-time", lambda at: f"{texts[at]} was twice or never in {how.zone}; see time.ambiguous"
        )
        far = good & ((us < 1000) | (us > now_us + FUTURE_US) | (us < now_us - PAST_US))
        refused.add(far, "time-out-of-range", lambda at: f"{texts[at]}: too far from now, or before 1970")
        columns = {"exchange_timestamp_ms": pa.array(us // 1000), "exchange_timestamp_us": pa.array(us)}
        known = {c.name for c in self._plan.data_type.columns}
        return {name: column for name, column in columns.items() if name in known}

    def _constants(self, n: int) -> dict[str, Any]:
        known = {c.name: c for c in self._plan.data_type.columns}
        fixed = {"source": "import", "timestamp_source": "exchange"}
        found: dict[str, Any] = {name: _repeated(text, n) for name, text in fixed.items() if name in known}
        for name, text in self._plan.constants.items():
            column = _repeated(text, n)
            found[name] = column.dictionary_decode().cast(pa.float64() if known[name].kind == "double" else pa.int64()) if (
                known[name].kind in ("double", "long")
            ) else column  # fmt: skip
        return found


def _always(text: str) -> Callable[[int], str]:
    return lambda _: text


def _repeated(text: str, n: int) -> Any:
    codes: Any = pa.array(np.zeros(n, np.int32))
    return pa.DictionaryArray.from_arrays(codes, pa.array([text], pa.string()))


def _meant(texts: Any, one: Field, refused: Refused) -> Any:
    """Texts with what empty ones and known words mean."""
    if one.missing is not None:
        texts = pc.fill_null(texts, one.missing)
    if not one.values:
        return texts
    keys = pa.array([*one.values, *one.values.values()], pa.string())
    means = pa.array([*one.values.values(), *one.values.values()], pa.string())
    at = pc.index_in(texts, keys)
    unknown = (texts.is_valid().to_numpy(zero_copy_only=False)) & at.is_null().to_numpy(zero_copy_only=False)
    refused.add(
        unknown, "unknown-value", lambda i: f"column {one.name!r} is {texts[i]}: not among {', '.join(one.values)}"
    )
    return means.take(at)
