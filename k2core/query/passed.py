"""Records that a tail reads although a snapshot that it has seen says they were shed: they count as not there.

A tail that is behind the table learns of shed ranges before it comes to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from k2core.admission.admit import Admitted, Part
from k2core.interfaces.shed import Shed


def without_shed(admitted: Admitted, shed: Sequence[Shed]) -> Admitted:
    """The same without records of these ranges, which must name their symbols."""
    ranges = {place: [one for one in shed if one.place == place] for place in {one.place for one in shed}}
    near = [part for part in admitted.parts if any(_meets(one, part) for one in ranges.get(part.partition, ()))]
    if not near:
        return admitted
    keep = np.ones(len(admitted.rows), bool)
    for part in near:
        keep[part.start : part.stop] = ~_shed(part, ranges[part.partition])
    ends = np.concatenate([[0], np.cumsum(keep)])
    parts = [
        replace(
            part, start=int(ends[part.start]), stop=int(ends[part.stop]),
            identities=None if part.identities is None else part.identities.where(keep[part.start : part.stop]),
        )
        for part in admitted.parts
    ]  # fmt: skip
    return replace(admitted, rows=admitted.rows.filter(pa.array(keep)), parts=parts)


def _meets(one: Shed, part: Part) -> bool:
    return one.next_offset > part.first_offset and one.first_offset < part.next_offset


def _shed(part: Part, ranges: Sequence[Shed]) -> npt.NDArray[np.bool_]:
    found = np.zeros(part.stop - part.start, bool)
    if part.identities is None:
        return found
    for one in ranges:
        named = np.array([stream.symbol in one.names for stream in part.identities.streams], bool)
        offsets = part.identities.offsets
        found |= named[part.identities.stream] & (offsets >= one.first_offset) & (offsets < one.next_offset)
    return found
