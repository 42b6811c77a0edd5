"""`nox -s bench`: run the benchmarks, print one table, write `benchmarks/results.json`.

`-- --quick` takes a tenth of the rows; `-- --only NAME` runs some of frames, table, commits, kafka, dedup, hybrid, sockets,
tail, start, http, freshness, fresh-kafka, writers, sharing, doctor.
`-- --seconds N` sets how long processes are watched (60; quick: 8).
"""

from __future__ import annotations

import os

for _name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import argparse
import pathlib
import tempfile

from benchmarks.dedup import dedup
from benchmarks.doctor import doctor
from benchmarks.hybrid import hybrid
from benchmarks.kafka import kafka
from benchmarks.measure import Row, show
from benchmarks.paths import frames_to_log, log_to_table, many_commits
from benchmarks.processes import full_tail, light, sockets
from benchmarks.sharing import sharing
from benchmarks.writers import many_writers

OUT = pathlib.Path(__file__).with_name("results.json")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--only",
        default="frames,table,commits,kafka,dedup,hybrid,sockets,tail,start,http,freshness,fresh-kafka,writers,sharing,doctor",
    )
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    asked = parser.parse_args()
    scale = 10 if asked.quick else 1
    seconds = asked.seconds or (8 if asked.quick else 60)
    cases = {
        "frames": lambda work: frames_to_log(work, 100_000 // scale),
        "table": lambda work: log_to_table(work, 400_000 // scale),
        "commits": lambda work: many_commits(work, 2000 // scale),
        "kafka": lambda work: kafka(work, 200_000 // scale),
        "dedup": lambda work: dedup(work, 1_000_000 // scale),
        "hybrid": lambda work: hybrid(work, 1_000_000 // scale, 50_000 // scale),
        "sockets": lambda work: sockets(work, seconds),
        "writers": lambda work: many_writers(work, 8 / min(scale, 4), 1_000_000 // min(scale, 2)),
        "doctor": doctor,
        "sharing": lambda work: sharing(work, seconds),
        "tail": lambda work: full_tail(work, 15 / scale),
        **{name: lambda work, name=name: light(seconds)[name] for name in ("start", "http", "freshness")},
        "fresh-kafka": lambda work: [row for name in ("freshness", "http") for row in light(seconds, "kafka")[name]],
    }
    rows: list[Row] = []
    for name in asked.only.split(","):
        with tempfile.TemporaryDirectory(prefix="k2-bench-") as folder:
            rows += cases[name](pathlib.Path(folder))
    show(rows, asked.out)


if __name__ == "__main__":
    main()
