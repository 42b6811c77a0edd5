"""Nothing that a swap points to may be unsynced; and killed writers leave exact tables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import k2_plugin_iceberg.files as files
import k2_plugin_iceberg.state as state
import pytest


class Watch:
    """Sees every fsync and every swap; at a swap, lists what the new metadata needs and what of it is not durable."""

    def __init__(self, patch: pytest.MonkeyPatch, table: Any, skip: str) -> None:
        self.synced: dict[str, int] = {}
        self.folders: dict[str, set[str]] = {}
        self.missing: list[str] = []
        self.swaps = 0
        self.skip, self.table, self.catalog = skip, table, table._state._catalog
        self.fsync = os.fsync
        patch.setattr(files.os, "fsync", self.sync)
        table._state._catalog = self

    def sync(self, fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if path.endswith(self.skip):
            return
        self.fsync(fd)
        if os.path.isdir(path):
            self.folders[path] = set(os.listdir(path))
        else:
            self.synced[path] = os.path.getsize(path)

    def location(self, table: Any) -> Any:
        return self.catalog.location(table)

    def swap(self, table: Any, old: str, new: str) -> bool:
        self.swaps += 1
        for path in self.needed(new):
            if self.synced.get(path) != os.path.getsize(path):
                self.missing.append(path)
            if os.path.basename(path) not in self.folders.get(os.path.dirname(path), ()):
                self.missing.append(os.path.dirname(path))
        return bool(self.catalog.swap(table, old, new))

    def needed(self, location: str) -> list[str]:
        path = location.removeprefix("file://")
        found = [path]
        metadata = json.loads(Path(path).read_bytes())
        now = next((s for s in metadata["snapshots"] if s["snapshot-id"] == metadata.get("current-snapshot-id")), None)
        if now is not None:
            from pyiceberg.manifest import read_manifest_list

            io = self.table._state.io
            found.append(now["manifest-list"])
            for manifest in read_manifest_list(io.new_input(now["manifest-list"])):
                found.append(manifest.manifest_path)
                found += [e.data_file.file_path for e in manifest.fetch_manifest_entry(io)]
        return [f.removeprefix("file://") for f in found]


def _watched(lake: Any, patch: pytest.MonkeyPatch, skip: str) -> Watch:
    table = lake.table(manifest_merge_min=2)
    watch = Watch(patch, table, skip)
    owned = lake.own(table)
    for _ in range(4):
        lake.ingest(table, owned, 200)
    lake.clock.move(7200)
    table.maintain()
    return watch


def test_everything_is_synced_before_the_swap(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = _watched(lake, monkeypatch, skip="nothing")
    assert watch.swaps == 6
    assert watch.missing == []


@pytest.mark.parametrize("skip", [".parquet", ".avro", ".metadata.json"])
def test_a_sync_left_out_would_be_seen(lake: Any, monkeypatch: pytest.MonkeyPatch, skip: str) -> None:
    watch = _watched(lake, monkeypatch, skip)
    assert any(m.endswith(skip) for m in watch.missing)


def test_a_folder_sync_left_out_would_be_seen(lake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "sync_folders", lambda folders: None)
    assert any(m.endswith("/metadata") for m in _watched(lake, monkeypatch, skip="nothing").missing)


def test_kill_storm_leaves_every_offset_exactly_once(lake: Any) -> None:
    script = Path(__file__).with_name("killed_writer.py")
    command = [sys.executable, str(script), str(lake.root), "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    kills = json.loads(done.stdout)["kills"]
    rows, head = lake.read(), lake.table().head()
    assert kills == 20
    assert rows.num_rows > 0
    stored: dict[tuple[str, int], list[int]] = {}
    for topic, partition, offset in zip(
        rows["topic"].to_pylist(), rows["log_partition"].to_pylist(), rows["log_offset"].to_pylist(), strict=True
    ):
        stored.setdefault((topic, partition), []).append(offset)
    assert {p: sorted(o) for p, o in stored.items()} == {p: list(range(n)) for p, n in head.offsets.items() if n}
