"""Write what is generated: dashboards and rules into the package, the rules' tests, and `docs/metrics.md`."""

from __future__ import annotations

import pathlib
import sys

from observability.more_boards import BOARDS
from observability.page import page
from observability.render import rendered
from observability.rules import rules, tests

ROOT = pathlib.Path(__file__).resolve().parents[1]
ASSETS = "k2core/telemetry/assets"


def files() -> dict[str, str]:
    """Everything, by path in the repository."""
    made = {f"{ASSETS}/dashboards/{board.uid}.json": rendered(board) for board in BOARDS}
    made[f"{ASSETS}/k2.rules.yml"] = rules()
    made["tests/observability/k2.rules.test.yml"] = tests(f"../../{ASSETS}/k2.rules.yml")
    made["docs/metrics.md"] = page()
    return made


def main() -> int:
    """Write them."""
    for name, text in files().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
