"""`FrameParser`: a normalizer that is written for one frame and runs by the batch.

Faults survived: whatever `parse` raises on a frame (that frame becomes a dead letter), a bad value in one of a frame's
records (the whole frame does, for half of a message is worse than none), what is no record at all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from k2core.interfaces.frames import FrameBatch, NormalizedBatch, Rejected
from k2core.interfaces.normalizer import Normalizer
from k2core.parsing.refusals import PARSER_ERROR, Refusal, refusal_of
from k2core.parsing.shapes import Quote, Row, Trade

if TYPE_CHECKING:
    import pyarrow as pa

    from k2core.records.data_type import DataType

Record = Trade | Quote | Row


class FrameParser(Normalizer):
    """The simple form of a normalizer: `parse` reads one frame, core does the rest.

    Attributes:
        exchange: The market's name in records.
        data_types: Data types whose `Row`s name them by name only.
    """

    exchange: str
    data_types: ClassVar[Sequence[DataType]] = ()

    @abstractmethod
    def parse(self, frame: bytes) -> Iterable[Trade | Quote | Row]:
        """Read a frame. Pure: nothing is kept between calls.

        Returns:
            Its records in order; none for a control frame.

        Raises:
            RejectFrame: It is no sound frame. What msgspec or `json` raise, and `KeyError`, `ValueError`, `TypeError` …
                mean the same; other errors are the author's own (`parser-error`).
        """

    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        """Read a batch of frames."""
        return _Reading(self, batch).finish()


class _Reading:
    """One batch on its way."""

    def __init__(self, parser: FrameParser, batch: FrameBatch) -> None:
        self._parser, self._batch = parser, batch
        self._rejected: dict[int, Refusal] = {}
        self._rows: dict[type, list[Record]] = defaultdict(list)
        self._places: dict[type, list[int]] = defaultdict(list)
        self._control = 0

    def finish(self) -> NormalizedBatch:
        self._parse()
        records = self._build()
        return NormalizedBatch(
            records=records,
            rejected=[Rejected(place, *why) for place, why in sorted(self._rejected.items())],
            control=self._control,
            yielding=len(self._batch) - self._control - len(self._rejected),
        )

    def _parse(self) -> None:
        parse, rows, places = self._parser.parse, self._rows, self._places
        for place, frame in enumerate(self._batch.frames):
            try:
                records = parse(frame)
                if type(records) is not list:
                    records = list(records)  # a generator may still raise: nothing of this frame is taken before
            except Exception as error:  # noqa: BLE001 - becomes the reason of a dead letter
                self._rejected[place] = refusal_of(error)
                continue
            if not records:
                self._control += 1
            for record in records:
                kind = type(record)
                rows[kind].append(record)
                places[kind].append(place)

    def _build(self) -> dict[str, pa.RecordBatch]:
        """Record batches without the frames that have a bad row; where one is found, what is left is built anew."""
        from k2core.parsing.rows import built_by_type, shape_refusal

        for kind in [kind for kind in self._rows if kind not in (Trade, Quote, Row)]:
            said = f"parse gave a {kind.__name__}: give Trade, Quote or Row"
            self._rejected |= dict.fromkeys(self._places[kind], Refusal(PARSER_ERROR, said))
        for row, place in zip(cast("list[Row]", self._rows[Row]), self._places[Row], strict=True):
            if why := shape_refusal(row.data_type, row.values):
                self._rejected[place] = why
        while True:
            self._leave_out_rejected()
            records, refused = built_by_type(self._parser, self._batch.received_ns, self._rows, self._places)
            if not refused:
                return records
            self._rejected |= refused

    def _leave_out_rejected(self) -> None:
        for kind, places in self._places.items() if self._rejected else ():
            kept = [n for n, place in enumerate(places) if place not in self._rejected]
            self._rows[kind] = [self._rows[kind][n] for n in kept]
            self._places[kind] = [places[n] for n in kept]
