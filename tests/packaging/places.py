"""Fresh environments, and what is built for them: what the packaging proofs share."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
UV = (
    shutil.which("uv", path=os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ.get("PATH", "")]))
    or "uv"
)
AT_ONCE = os.cpu_count() or 1
CLEAN = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH"} and not k.startswith("K2_")}


def run(*args: str, cwd: pathlib.Path | None = None, code: int = 0) -> str:
    """A command's stdout; another exit code than the wanted one ends the proof, with all that was said."""
    done = subprocess.run(args, cwd=cwd, env=CLEAN, capture_output=True, text=True, check=False)
    if done.returncode != code:
        sys.exit(f"{' '.join(args)} ended with {done.returncode}, not {code}:\n{done.stdout}\n{done.stderr}")
    return done.stdout + (done.stderr if code else "")


def expect(what: str, holds: bool) -> None:
    print(("proved: " if holds else "NOT TRUE: ") + what, flush=True)
    if not holds:
        sys.exit(1)


def build(out: pathlib.Path) -> dict[str, pathlib.Path]:
    """A wheel of every distribution, built through its sdist: name → file."""
    common = ["--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(out)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda path: run(UV, "build", *common, str(path)), (ROOT, *PLUGINS)))
    return {wheel.name.split("-")[0].replace("_", "-"): wheel for wheel in sorted(out.glob("*.whl"))}


def version() -> str:
    """The one version of all distributions."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def needed() -> list[str]:
    """What our distributions need, but each other."""
    found: set[str] = set()
    for path in (ROOT, *PLUGINS):
        project = tomllib.loads((path / "pyproject.toml").read_text())["project"]
        found |= {d for d in project["dependencies"] if not d.startswith(("k2core", "k2-plugin-"))}
    return sorted(found)


class Clean:
    """A fresh environment: nothing of ours, and what is installed keeps to the lock unless told otherwise."""

    def __init__(self, home: pathlib.Path) -> None:
        run(UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        self.home, self.bin = home, home / "bin"
        self.python, self.k2 = str(self.bin / "python"), str(self.bin / "k2")

    def install(self, *wanted: str | pathlib.Path, options: tuple[str, ...] = ()) -> None:
        locked = options or ("-c", str(ROOT / "requirements" / "dev.txt"))
        run(UV, "pip", "install", "--quiet", "--python", self.python, *locked, *map(str, wanted))

    def remove(self, name: str) -> None:
        run(UV, "pip", "uninstall", "--quiet", "--python", self.python, name)

    def plugins(self) -> dict[tuple[str, str], str]:
        """Kind and name → distribution, version, state, as `k2 plugins` says."""
        rows = json.loads(run(self.k2, "plugins", "--json", cwd=self.home))
        return {(r["kind"], r["name"]): f"{r['distribution']} {r['version']} {r['state']}" for r in rows}

    def import_all(self, module: str) -> None:
        """Import every module of a package, so that a dependency that it does not declare is missed."""
        code = (
            f"import pkgutil, {module} as p, importlib\n"
            "for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.'):\n"
            "    m.name.endswith('__main__') or importlib.import_module(m.name)\n"
        )
        run(self.python, "-I", "-c", code, cwd=self.home)
