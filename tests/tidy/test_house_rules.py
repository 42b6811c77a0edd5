"""The house rules as tests: sizes, words, docstrings, imports, what may not stand in a repository."""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LONGEST_FILE, LONGEST_FUNCTION = 300, 40
WORDS = {
    "manager": "say what it keeps or runs",
    "handler": "say what it does",
    "processor": "say what it makes of what",
    "helper": "say what it is for",
    "utils": "say what lives there",
    "util": "say what lives there",
}
BANNED = re.compile(r"(?<![A-Za-z])(?:[A-Za-z]*[a-z_])?(Manager|Handler|Processor|Helper|Utils?)(?![a-z])")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|not implemented yet)\b")
FOREIGN = re.compile(
    "|".join(["/wor" + "k/", "/roo" + "t/", "pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npmjs"])
)
FOREIGN_NAMES = {"StreamHandler", "FileHandler", "SignalHandler", "HTTPRequestHandler", "PluginManager"}


def tracked() -> list[pathlib.Path]:
    """Files that git tracks, or would: everything that is not ignored."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    out = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in out.splitlines() if (ROOT / line).is_file()]


FILES = tracked()
PYTHON = [p for p in FILES if p.suffix == ".py"]
SHIPPED = [p for p in PYTHON if "tests" not in p.parts and "benchmarks" not in p.parts and p.name != "noxfile.py"]


def name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_files_and_functions_stay_short(path: pathlib.Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE, f"{name(path)} is more than one idea: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{name(path)}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_every_module_says_what_lives_in_it(path: pathlib.Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{name(path)} has no docstring"


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_names_say_what_things_are(path: pathlib.Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef):
            found = BANNED.search(node.name)
            assert not found, f"{name(path)}: class {node.name}: {WORDS[found.group(1).lower()]}" if found else ""
    assert path.stem.strip("_") not in WORDS, f"{name(path)}: {WORDS.get(path.stem, '')}"


@pytest.mark.parametrize("path", SHIPPED, ids=name)
def test_nothing_is_swallowed_or_left_unfinished(path: pathlib.Path) -> None:
    text = path.read_text()
    assert not (found := UNFINISHED.search(text)), f"{name(path)}: {found}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler) and (
            node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"}
        ):
            assert not all(isinstance(n, ast.Pass | ast.Continue) for n in node.body), f"{name(path)}:{node.lineno}"


@pytest.mark.parametrize("path", [p for p in PYTHON if p.name.startswith("test_")], ids=name)
def test_every_test_can_fail(path: pathlib.Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert any(map(proves, ast.walk(node))), f"{name(path)}:{node.lineno} {node.name} asserts nothing"


def proves(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert) or (isinstance(node, ast.Attribute) and node.attr in {"raises", "fail", "warns"}):
        return True
    called = ast.unparse(node.func).split(".")[-1] if isinstance(node, ast.Call) else ""
    return bool(re.match(r"_?(check|assert|expect|verify)", called))


def test_test_modules_have_unique_names() -> None:
    names = [p.name for p in PYTHON if p.name.startswith("test_")]
    assert len(names) == len(set(names)), sorted(n for n in set(names) if names.count(n) > 1)


def test_nothing_names_a_machine_or_an_index() -> None:
    text = {".py", ".md", ".toml", ".txt", ".in", ".yml", ".sh", ".avsc", ".json", ""}
    for path in FILES:
        if path.suffix in text and path.name != "test_house_rules.py":
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                assert not FOREIGN.search(line), f"{name(path)}:{number} {line.strip()[:100]}"


def test_one_version_for_all_distributions() -> None:
    import tomllib

    projects = [ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")]
    versions = {tomllib.loads(p.read_text())["project"]["version"] for p in projects}
    assert len(versions) == 1


def test_no_lock_that_holds_addresses() -> None:
    assert not (ROOT / "uv.lock").exists()
    assert not re.search(r"https?://", "".join(p.read_text() for p in ROOT.glob("requirements/*.txt")))
