"""`Normalizer`: frames to records, a pure function."""

from __future__ import annotations

from abc import ABC, abstractmethod

from k2core.interfaces.frames import FrameBatch, NormalizedBatch


class Normalizer(ABC):
    """Turns frames into records. Pure: the same batch gives the same answer, nothing is kept between calls."""

    @abstractmethod
    def normalize(self, batch: FrameBatch) -> NormalizedBatch:
        """Read a batch of frames.

        A bad frame becomes a `Rejected` and costs its neighbours nothing. Prices and quantities whose text does not
        survive text → double → text are rejected (`inexact-number`), never rounded.
        """
