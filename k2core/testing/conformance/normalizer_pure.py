"""MUSTs of a normalizer about being a pure function: of the frame alone, whatever stands beside it or came before."""

from __future__ import annotations

import copy

from k2core.interfaces.frames import FrameBatch
from k2core.testing.conformance.normalizer_world import (
    APART_NS,
    RECEIVED_NS,
    NormalizerFacts,
    added,
    outcome,
    timeless,
)


class PureTests(NormalizerFacts):
    """The same frames, the same answer."""

    def test_N16_the_same_batch_gives_the_same_answer(self) -> None:
        """From one normalizer twice, and from another one; and the batch is left as it was."""
        frames = [*self._frames(), *self.control, b"{"]
        times = [RECEIVED_NS + APART_NS * place for place in range(len(frames))]
        batch, kept = FrameBatch(list(frames), list(times)), copy.deepcopy((frames, times))
        one = self._normalizer()
        first, second = (outcome(one.normalize(batch), len(frames)) for _ in range(2))
        assert first == second, "the second call answers otherwise: something is kept between calls"
        assert first == outcome(self._normalizer().normalize(batch), len(frames)), "another instance answers otherwise"
        assert (batch.frames, batch.received_ns) == kept, "the batch was changed"

    def test_N17_a_batch_split_anywhere_gives_the_same_records(self) -> None:
        """Core cuts batches where it likes."""
        frames = [*self._frames(), *self.control, b"{", *self._frames()]
        whole = self._read(frames)
        for at in range(1, len(frames)):
            left, right = self._read(frames[:at]), self._read(frames[at:], first=at)
            assert added(left.rows, right.rows) == whole.rows, f"cut after frame {at}"
            assert [*left.places, *(at + place for place in right.places)] == whole.places

    def test_N18_lost_doubled_and_reordered_frames_change_no_other(self) -> None:
        """Each frame stands for itself: finding doubles and holes is others' work."""
        frames = self._frames()
        alone = [timeless(self._read([frame]).rows) for frame in frames]
        doubled = [frame for frame in frames for _ in range(2)]
        assert timeless(self._read(doubled).rows) == added(*(rows for rows in alone for _ in range(2))), "doubled"
        assert timeless(self._read(frames[::-1]).rows) == added(*alone[::-1]), "reordered"
        for at in range(len(frames)):
            left = timeless(self._read(frames[:at] + frames[at + 1 :]).rows)
            assert left == added(*alone[:at], *alone[at + 1 :]), f"frame {at} lost"
