"""Builds every distribution through its sdist and proves that they work where only wheels are.

Run by `nox -s wheels`; prints what it proves, exits non-zero where it cannot.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
UV = str(pathlib.Path(sys.executable).with_name("uv"))


def run(*args: str, cwd: pathlib.Path | None = None) -> str:
    clean = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    done = subprocess.run(args, cwd=cwd, env=clean, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(args)} failed with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def build(out: pathlib.Path) -> list[pathlib.Path]:
    for path in (ROOT, *sorted(p.parent for p in ROOT.glob("plugins/*/pyproject.toml"))):
        run(
            UV, "build", "--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(out), str(path)
        )
    return sorted(out.glob("*.whl"))


class Clean:
    """A fresh environment with the locked dependencies of our distributions, none of ours."""

    def __init__(self, home: pathlib.Path) -> None:
        run(UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        self.home, self.bin = home, home / "bin"

    def install(self, wheels: list[pathlib.Path]) -> None:
        asked = [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(self.bin / "python"),
            "-c",
            str(ROOT / "requirements" / "dev.txt"),
        ]
        run(*asked, *map(str, wheels))

    def remove(self, name: str) -> None:
        run(UV, "pip", "uninstall", "--quiet", "--python", str(self.bin / "python"), name)

    def plugins(self) -> dict[tuple[str, str], str]:
        rows = json.loads(run(str(self.bin / "k2"), "plugins", "--json", cwd=self.home))
        return {(r["kind"], r["name"]): f"{r['distribution']} {r['version']} {r['state']}" for r in rows}


def expect(what: str, holds: bool) -> None:
    print(("proved: " if holds else "NOT TRUE: ") + what)
    if not holds:
        sys.exit(1)


def main() -> None:
    out = pathlib.Path(sys.argv[1])
    wheels = build(out / "dist")
    by_name = {w.name.split("-")[0]: w for w in wheels}
    expect(
        f"{len(wheels)} wheels were built through their sdists", len(wheels) == 1 + len(list(ROOT.glob("plugins/*/")))
    )
    place = Clean(out / "clean")
    place.install([by_name["k2core"]])
    alone = place.plugins()
    expect(
        "core alone installs and lists its own",
        ("broker", "embedded") in alone and ("connector", "binance") not in alone,
    )
    place.install([by_name["k2_plugin_binance"]])
    shown = place.plugins().get(("connector", "binance"), "")
    expect(f"the Binance plugin is there once installed: {shown}", shown == "k2-plugin-binance 0.1.0 ok")
    where = run(str(place.bin / "python"), "-I", "-c", "import k2_plugin_binance as p; print(p.__file__)", cwd=out)
    expect("it is imported from the wheel", str(place.home) in where)
    place.remove("k2-plugin-binance")
    expect("removed, it is gone", ("connector", "binance") not in place.plugins())


if __name__ == "__main__":
    main()
