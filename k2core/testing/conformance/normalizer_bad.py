"""MUSTs of a normalizer about frames that are broken, unknown or hostile: it refuses them, and never raises."""

from __future__ import annotations

import random
import re

from k2core.testing.conformance.facts import needs
from k2core.testing.conformance.normalizer_world import NormalizerFacts, Rows, added, named, timeless

UNKNOWN = (b'{"k2":"unknown"}', b"{}", b"[]", b"null", b'"text"', b"7", b'[{"k2":1}]')
HOSTILE = (
    *(b"", b"\x00", b"\xff\xfe", b"{", b"[" * 100_000, b'{"a":' * 50_000, b'"\\ud800"', b"9" * 5_000, b" " * 100_000),
    b'"' + b"x" * 2_000_000 + b'"',
)
MOST_CUTS = 400
MUTATIONS = 400
_PIECES = (b"", b'"', b"{", b"}", b"[", b"]", b"\n", b"\xff", b"-", b"0", b"null", b",", b":", b"1e999", b"\\", b" ")


class BadFrameTests(NormalizerFacts):
    """Frames that are no sound market data."""

    def test_N10_half_a_frame_is_refused_and_its_neighbours_live(self) -> None:
        """Every beginning of a frame: a dead letter, not an exception, not control, and never a record."""
        frames = self._frames()
        sound = self._read(frames)
        assert not sound.rejected, f"sound frames are refused, see N01: {sound.accounts()}"
        whole = timeless(sound.rows)
        for frame in frames:
            cuts = [frame[:at] for at in range(0, len(frame), max(1, len(frame) // MOST_CUTS))]
            alone = self._read(cuts)
            self._check_books(alone.frames, alone.control, alone.yielding, len(alone.places))
            assert not alone.control, (
                f"{alone.control} beginnings of {frame[:80]!r} pass for control frames: silent loss"
            )
            assert not alone.rows, f"beginnings of {frame[:80]!r} became records: {next(iter(alone.rows.values()))[:1]}"
            assert alone.places == list(range(len(cuts))), alone.accounts()
            for cut in cuts[:: max(1, len(cuts) // 8)]:
                mixed = self._read([*frames, cut, *frames])
                assert timeless(mixed.rows) == added(whole, whole), f"{cut[-40:]!r} costs its neighbours their records"
                assert mixed.places == [len(frames)], mixed.accounts()

    def test_N11_whatever_the_bytes_it_accounts_and_never_raises(self) -> None:
        """Frames with bytes changed, put in or taken out, by a seed; each reason is a slug that blames the frame."""
        pick, whole = random.Random(2), timeless(self._read(self._frames()).rows)  # noqa: S311 - repeatable, no secret
        for frame in (*self._frames(), *self.control):
            mutants = [_mutant(frame, pick) for _ in range(MUTATIONS // (len(self.examples) + len(self.control)) + 20)]
            found = self._read([*self._frames(), *mutants])
            self._check_books(found.frames, found.control, found.yielding, len(found.places))
            for name, rows in whole.items():
                assert timeless(found.rows)[name][: len(rows)] == rows, (
                    f"a mutant costs its neighbours their records{found.why()}"
                )
            self._check_reasons(found.rejected)

    def _check_books(self, frames: int, control: int, yielding: int, rejected: int) -> None:
        assert control + yielding + rejected == frames, (
            f"{frames} frames, but {yielding} yielding + {control} control + {rejected} rejected"
        )

    def _check_reasons(self, rejected: object) -> None:
        assert isinstance(rejected, list)
        places = [one.index for one in rejected]
        assert places == sorted(set(places)), "a frame is refused once, in order"
        for one in rejected:
            assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.reason), f"{one.reason!r} is no slug"
            assert one.reason not in ("parser-error", "normalizer-error"), f"the author's code fails: {one.detail}"
            assert one.detail, f"{one.reason} without a word"
            assert len(one.detail) < 1000, f"{one.reason} with a novel"

    @needs("json_frames")
    def test_N12_an_unknown_field_does_no_harm(self) -> None:
        """Exchanges add fields without notice: the same records, at every level of the frame."""
        for example, frame in self._of_json():
            whole = timeless(self._read([example.frame]).rows)
            for holder in frame.objects():
                more = frame.with_member(holder, '"k2_unknown":{"new":["thing",1]}')
                found = self._read([more])
                assert timeless(found.rows) == whole, f"a new field in {named(holder) or 'the frame'}: {found.rejected}"

    @needs("json_frames")
    def test_N13_a_vanished_field_is_refused_or_not_missed(self) -> None:
        """Never a record with something else in it, and never control: that would be silent loss."""
        for example, frame in self._of_json():
            whole = timeless(self._read([example.frame]).rows)
            for member in frame.members():
                found = self._read([frame.without(member)])
                said = f"without {named(member)}"
                assert not found.control, f"{said} the frame passes for control: silent loss"
                assert found.places == [0] or self._same_but_null(found.rows, whole), f"{said} it became {found.rows}"

    def _same_but_null(self, rows: Rows, whole: Rows) -> bool:
        """Whether rows are the same but for nulls that neither the identity nor the order need."""
        rows = timeless(rows)
        if {n: len(r) for n, r in rows.items()} != {n: len(r) for n, r in whole.items()}:
            return False
        for name, some in rows.items():
            data_type = self._data_type(name)
            for row, before in zip(some, whole[name], strict=True):
                lost = {column for column, value in row.items() if value != before.get(column)}
                if any(row[column] is not None for column in lost) or lost & {data_type.id_column, data_type.order}:
                    return False
        return True

    @needs("json_frames")
    def test_N14_an_unknown_message_is_refused(self) -> None:
        """JSON that is no message of this exchange is kept as a dead letter, not dropped as control."""
        found = self._read(UNKNOWN)
        assert not found.rows
        assert found.places == list(range(len(UNKNOWN))), f"unknown messages are dropped: {found.accounts()}"
        self._check_reasons(found.rejected)

    def test_N15_hostile_frames_are_refused(self) -> None:
        """No bytes at all, no UTF-8, megabytes, nesting without end."""
        for frame in HOSTILE:
            found = self._read([frame])
            assert found.places == [0], f"{frame[:40]!r}… ({len(frame)} bytes): {found.accounts()}"
            self._check_reasons(found.rejected)


def _mutant(frame: bytes, pick: random.Random) -> bytes:
    for _ in range(pick.choice((1, 1, 1, 2, 5))):
        at = pick.randrange(len(frame) + 1)
        frame = frame[:at] + pick.choice(_PIECES) + frame[at + pick.choice((0, 1, 1, 4)) :]
    return frame
