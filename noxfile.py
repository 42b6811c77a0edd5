"""The one way to run anything here: `python3 noxfile.py -s SESSION` with Python 3.11 alone, or `nox -s SESSION`.

`-l` lists the sessions. Arguments behind `--` go to the command: `python3 noxfile.py -s tests -- tests/unit -x`.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent
LOCK, RUNNER_LOCK = ROOT / "requirements" / "dev.txt", ROOT / "requirements" / "nox.txt"


def start_again() -> None:
    """Make a private environment with pinned nox and uv, once per pins, and run nox in it on this very file."""
    stamp = hashlib.sha256(RUNNER_LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = ROOT / ".k2" / f"nox-{stamp}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    clean = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"}}
    clean["UV_PYTHON_DOWNLOADS"] = "never"
    if index := clean.get("PIP_INDEX_URL"):
        clean.setdefault("UV_DEFAULT_INDEX", index)
    if not (home / "complete").exists():
        make_environment(home, python, clean)
    clean["PATH"] = os.pathsep.join([str(python.parent), clean.get("PATH", "")])
    asked = [str(python), "-m", "nox", "-f", __file__, *sys.argv[1:]]
    if os.name != "nt":
        os.execve(python, asked, clean)  # signals reach nox itself
    raise SystemExit(subprocess.call(asked, env=clean))


def make_environment(home: pathlib.Path, python: pathlib.Path, env: dict[str, str]) -> None:
    import shutil
    import venv

    print(f"making a private environment for nox in {home.relative_to(ROOT)} (once)", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    pip = [str(python), "-m", "pip"]
    try:
        venv.create(home, with_pip=True)
    except (subprocess.CalledProcessError, ModuleNotFoundError):
        venv.create(home, with_pip=False, clear=True)
        pip = [sys.executable, "-m", "pip", "--python", str(python)]
        if subprocess.call([*pip, "--version"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
            sys.exit("this Python has neither ensurepip nor pip: on Debian or Ubuntu, apt install python3-venv")
    asked = [*pip, "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(RUNNER_LOCK)]
    if subprocess.call(asked, env=env):
        sys.exit("nox could not be installed; the lines above say why")
    (home / "complete").touch()


if __name__ == "__main__":
    start_again()

import nox  # noqa: E402

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "typing", "tests", "wheels", "lowest"]
PLUGINS = sorted(p.parent for p in ROOT.glob("plugins/*/pyproject.toml"))
EVERY_TEST = ["-q", "-n", "2", "--dist", "loadgroup"]
"""Two workers; `tests/spread` says what stays together and what begins first."""


def install(session: nox.Session) -> None:
    """Everything from the lock, then the distributions of this repository, editable. Skipped while nothing changed."""
    sources = [LOCK, ROOT / "pyproject.toml", *(p / "pyproject.toml" for p in PLUGINS)]
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()
    stamp = pathlib.Path(session.virtualenv.location) / "k2-installed"
    if stamp.exists() and stamp.read_text() == digest:
        return
    session.install("--quiet", "--require-hashes", "-r", str(LOCK))
    editable = [part for path in (ROOT, *PLUGINS) for part in ("-e", str(path))]
    session.install("--quiet", "--no-deps", "--no-build-isolation", *editable)
    stamp.write_text(digest)


@nox.session(venv_backend="uv")
def tests(session: nox.Session) -> None:
    """Every test, the default variant; `-- PATHS OPTIONS` runs some."""
    install(session)
    session.run("pytest", *(session.posargs or EVERY_TEST))


@nox.session(default=False)
def long(session: nox.Session) -> None:
    """Every test in its long variant: more kills, more worlds, more examples. Takes about an hour."""
    install(session)
    session.run("pytest", "-q", *session.posargs, env={"K2_LONG": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, formatting, import layers, and the generated files."""
    install(session)
    session.run("ruff", "check", "--quiet")
    session.run("ruff", "format", "--check", "--quiet")
    session.run("lint-imports", "--no-cache", silent=True)


@nox.session
def typing(session: nox.Session) -> None:
    """mypy, strict, over core and plugins."""
    install(session)
    session.run("mypy", "k2core", *(str(p.relative_to(ROOT) / "src") for p in PLUGINS))


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """The main job: a local exchange, `k2 up` on it, and a tour. `-- --once` ends by itself."""
    install(session)
    # nox would send what goes to stderr to stdout, whose last line is for programs.
    session.run("k2", "demo", *session.posargs, stderr=sys.stderr)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Benchmarks: a table of ratios against bare-library loops, and `benchmarks/results.json`."""
    install(session)
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(default=False)
def services(session: nox.Session) -> None:
    """Install and start the real services (Redis, Kafka, a schema registry), print where they are, until Ctrl-C."""
    install(session)
    session.run("python", "-m", "tests.services", *session.posargs)


@nox.session(default=False)
def generate(session: nox.Session) -> None:
    """Write again what is generated: `schemas/`, settings, signatures, metrics and the example in `docs/`, dashboards, rules."""
    install(session)
    session.run("k2", "schema", "export", "schemas")
    session.run("python", "-m", "k2core.config.reference", "docs/configuration.md")
    session.run("python", "-m", "tests.packaging.surface")
    session.run("python", "-m", "tests.docs.interface_tables")
    session.run("python", "-m", "tests.docs.build_example")
    session.run("python", "-m", "observability")


@nox.session
def wheels(session: nox.Session) -> None:
    """Wheels through sdists, in fresh environments: core alone, Binance added, captured from, removed; each; all."""
    install(session)
    out = pathlib.Path(session.create_tmp()).resolve()
    session.run("python", "tests/packaging/prove_wheels.py", str(out), *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """The lowest versions that our distributions say they work with: some of the tests, and the demo."""
    install(session)
    out = pathlib.Path(session.create_tmp()).resolve()
    session.run("python", "tests/packaging/prove_bounds.py", "lowest", str(out), *session.posargs)


@nox.session(default=False)
def newest(session: nox.Session) -> None:
    """The newest versions that there are, without the lock: more of the tests, and the demo."""
    install(session)
    out = pathlib.Path(session.create_tmp()).resolve()
    session.run("python", "tests/packaging/prove_bounds.py", "newest", str(out), *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Make `requirements/` again from the distributions' own dependencies."""
    needed = set()
    for path in (ROOT, *PLUGINS):
        project = tomllib.loads((path / "pyproject.toml").read_text())
        needed |= {d for d in project["project"]["dependencies"] if not d.startswith("k2core")}
        needed |= set(project["build-system"]["requires"])
    source = pathlib.Path(session.create_tmp()).resolve() / "all.in"
    source.write_text("\n".join(sorted(needed)) + "\n" + (ROOT / "requirements" / "dev.in").read_text())
    common = ["uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
              "--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--custom-compile-command", "nox -s lock"]  # fmt: skip
    session.run(*common, str(source), "-o", str(LOCK), *session.posargs, external=True)
    session.run(*common, "requirements/nox.in", "-o", str(RUNNER_LOCK), *session.posargs, external=True)
