"""Sixteen bugs, each as edits to shipped files, and a shadow of the source tree that has one of them.

An old text must occur exactly once, so that no bug can rot unseen. The shadow links to everything but the edited files
and comes first on the path of a process of its own; the checkout is never touched.
"""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUERY, WRITER = "k2core/query", "k2core/writer"
MEMORY = "plugins/k2-plugin-memory/src/k2_plugin_memory"
ICEBERG = "plugins/k2-plugin-iceberg/src/k2_plugin_iceberg"


@dataclass(frozen=True)
class Edit:
    """In `file`, `old` becomes `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """A rule broken.

    Args:
        name: Which rule, in words.
        edits: How.
        worlds: `flow`: the worlds of `world.py`; `files`: those of `lakes.py`, on the real Iceberg sink; `shared`: those
            of `sharing.py`, of several writers.
        note: Where it is the nearest equivalent, why.
        seed: A world that shows it, lived first; where it shows it no longer, all worlds are lived.
    """

    name: str
    edits: tuple[Edit, ...]
    worlds: str = "flow"
    note: str = ""
    seed: int = 0


BUGS = (
    Bug(
        "snapshot before tail ends",
        (
            Edit(f"{QUERY}/pin.py", "    view = tail.view\n    snapshot = source.newest()\n",
                 "    snapshot = source.newest()\n    view = tail.view\n"),
            Edit(f"{QUERY}/pin.py", "        if middle < min(start, end):\n",
                 "        if middle < min(start, end) and view.seen.offsets.get(partition, 0) < min(start, end):\n"),
        ),
        note="Holes are read from the log here, which heals the wrong order. The second edit takes that away where the "
        "tail dropped nothing but what its own snapshot holds; with the right order it changes nothing.",
        seed=91,
    ),
    Bug(
        "window warmed too briefly",
        (Edit(f"{QUERY}/window.py", "        for batch in stored.load(partition, since):\n",
              "        for batch in stored.load(partition, since + self._length // 2):\n"),),
        seed=16,
    ),
    Bug(
        "floor taken from the record's own time",
        (Edit(f"{MEMORY}/owned.py", "        if unsure.any():\n",
              "        unsure &= batch.order_ms * 1000 < batch.timestamps_us - 8 * self._held._span\n        if unsure.any():\n"),),
        seed=3,
    ),
    Bug(
        "look-up narrowed by a receive date",
        (Edit(f"{ICEBERG}/stored.py", '        if batch.event_time == "exchange":\n', "        if len(batch):\n"),),
        worlds="files",
        note="Dates narrow a look-up in the real table alone, so it is judged there.",
    ),
    Bug(
        "in-flight dropped before settle",
        (Edit(f"{WRITER}/settling.py", "        except DedupError as error:\n",
              "        except DedupError as error:\n            parts.dedup.abandon(place, first)\n"),),
        seed=6,
    ),
    Bug(
        "part of a fenced commit kept",
        (
            Edit(f"{WRITER}/pipeline.py", "        self._drop()\n        lost = ",
                 "        kept = self._commits.waiting\n        self._drop()\n        lost = "),
            Edit(f"{WRITER}/pipeline.py", "            self._fence = error\n            raise error\n",
                 "            self._fence = error\n            raise error\n        self._recover()\n"
                 "        kept.next = {p: n for p, n in kept.next.items() if p in self.committed}\n"
                 "        self._commits.waiting = kept\n"),
        ),
        seed=14,
    ),
    Bug(
        "refusal after the claim",
        (
            Edit("k2core/admission/checks.py",
                 '    yield _untimely(batch.column(data_type.order), placed.timestamps, limits), "time-out-of-range", '
                 "data_type.order\n", ""),
            Edit(f"{WRITER}/intake.py", "        self._ledger.note(part.identities)\n",
                 "        self._ledger.note(part.identities)\n"
                 "        of = part.identities if kept.all() else part.identities.where(kept)\n"
                 "        new &= of.order_ms <= of.timestamps_us // 1000 + 86_400_000\n"),
        ),
        note="The check of event times moves behind the claim.",
        seed=1,
    ),
    Bug(
        "a hole deduplicated against itself",
        (Edit(f"{QUERY}/window.py", "            new = np.minimum(held, _first_here(group.keys, own)) >= own\n",
              "            new = (held == NEVER) & (_first_here(group.keys, own) >= own)\n"),),
    ),
    Bug(
        "cursor without total order",
        (Edit(f"{QUERY}/hot.py", "        return (values < ms) | ((values == ms) & tie)\n",
              "        return values < ms\n"),),
    ),
    Bug(
        "as_of at an open time",
        (Edit(f"{QUERY}/asof.py", "    while not _is_closed(broker, topics, as_of_us):\n", "    while as_of_us > now_us:\n"),),
        seed=38,
    ),
    Bug(
        "offset off by one",
        (Edit(f"{WRITER}/intake.py", "    waiting.next[part.partition] = part.next_offset\n",
              "    waiting.next[part.partition] = part.next_offset - 1\n"),),
    ),
    Bug(
        "sync before the swap left out",
        (Edit(f"{ICEBERG}/files.py", "            view = view[os.write(fd, view) :]\n        os.fsync(fd)\n",
              "            view = view[os.write(fd, view) :]\n"),),
        worlds="files",
    ),
    Bug(
        "rows of what was given up kept",
        (Edit(f"{WRITER}/waiting.py", "        self.tables = [left for left in (_without(rows, places) for rows in self.tables) "
              "if len(left)]\n", ""),),
        worlds="shared",
        seed=25,
    ),
    Bug(
        "read on where another owner was",
        (Edit(f"{WRITER}/intake.py", "        self._sought -= frozenset(places)\n", "        del places\n"),),
        worlds="shared",
        seed=12,
    ),
    Bug(
        "once without the others",
        (Edit(f"{WRITER}/lane.py", "        if not self.pipeline.shared or self._met:\n", "        if target is not None:\n"),),
        worlds="shared",
        seed=1,
    ),
    Bug(
        "a window kept while another owner wrote",
        (
            Edit(f"{WRITER}/owning.py", "            self._parts.dedup.revoke(place)\n", ""),
            Edit(f"{WRITER}/owning.py", "                parts.dedup.assign(place, offset, stored)\n",
                 "                if place not in self._begun:\n"
                 "                    parts.dedup.assign(place, offset, stored)\n"
                 "                parts.dedup._owned[place].offset = offset\n"),
        ),
        worlds="shared",
        seed=3,
    ),
)  # fmt: skip


def planted(bug: Bug) -> dict[pathlib.Path, str]:
    """The edited files' texts.

    Raises:
        LookupError: An old text does not occur exactly once.
    """
    texts: dict[pathlib.Path, str] = {}
    for edit in bug.edits:
        path = ROOT / edit.file
        text = texts.get(path, path.read_text())
        if (found := text.count(edit.old)) != 1:
            raise LookupError(f"{bug.name}: {edit.file} has {found} times {edit.old!r}: plant the bug anew")
        texts[path] = text.replace(edit.old, edit.new)
    return texts


def shadow(bug: Bug | None, folder: pathlib.Path) -> list[pathlib.Path]:
    """A tree below `folder` with the bug in it; the folders that have to be first on the path."""
    texts = planted(bug) if bug else {}
    sources = [ROOT / "k2core", *sorted((ROOT / "plugins").glob("*/src/*"))]
    for package in sources:
        if package.is_dir():
            _link(package, folder / package.name, texts)
    return [folder, ROOT]


def _link(source: pathlib.Path, target: pathlib.Path, texts: dict[pathlib.Path, str]) -> None:
    if source in texts:
        target.write_text(texts[source])
    elif source.is_dir() and any(source in path.parents for path in texts):
        target.mkdir()
        for child in source.iterdir():
            if child.name != "__pycache__":
                _link(child, target / child.name, texts)
    else:
        target.symlink_to(source)
