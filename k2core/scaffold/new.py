"""Writes a plugin project from templates: what all kinds share, and what is one kind's own.

A template is a file whose name ends in `.in`; its path and its text spell the plugin's name as `zebra` (see `Names`).
An error leaves nothing behind that a second try would stumble over.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from k2core import __version__
from k2core.errors import ConfigError

KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "connector": ("Zebra for k2: trades of one exchange", ("msgspec>=0.19", "pydantic>=2.10")),
    "normalizer": ("Zebra for k2: frames to records", ("msgspec>=0.19",)),
    "enricher": ("Zebra for k2: a further column of trades", ("pyarrow>=20", "pydantic>=2.10")),
    "dedup-store": ("Zebra for k2: identities in a SQLite file", ("numpy>=2.0", "pydantic>=2.10")),
    "sink": ("Zebra for k2: tables in a SQLite file", ("numpy>=2.0", "pyarrow>=20", "pydantic>=2.10")),
    "data-type": ("Zebra for k2: a kind of record", ()),
}
"""Kind → the plugin's summary, and what it needs besides k2core."""
_NAME = re.compile(r"[a-z][a-z0-9-]*")
_LONGEST = 40
_SUFFIX = ".in"


@dataclass(frozen=True, slots=True)
class Names:
    """How the plugin's name is spelled in different places.

    Args:
        name: As the component is called: `my-exchange`.
    """

    name: str

    @property
    def snake(self) -> str:
        """In modules: `my_exchange`."""
        return self.name.replace("-", "_")

    @property
    def camel(self) -> str:
        """In classes: `MyExchange`."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def distribution(self) -> str:
        """What is installed: `k2-plugin-my-exchange`."""
        return f"k2-plugin-{self.name}"

    def put_into(self, text: str) -> str:
        """A template's text or path with the plugin's own names."""
        spelled = {
            "ZEBRA_LOWER": self.snake,
            "ZEBRA": self.snake.upper(),
            "Zebra": self.camel,
            "zebra_": f"{self.snake}_",
            "_zebra": f"_{self.snake}",
            "zebra": self.name,
        }
        return re.sub("|".join(spelled), lambda found: spelled[found.group()], text)


def write(name: str, kind: str, into: Path) -> list[Path]:
    """Write a project.

    Args:
        name: Of the component, `[a-z][a-z0-9-]*`.
        kind: One of `KINDS`.
        into: The folder that `k2-plugin-NAME` is to lie in.

    Returns:
        Its files.

    Raises:
        ConfigError: The name is none, or something of that name is there already.
    """
    names = checked(name)
    folder = into / names.distribution
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise ConfigError(f"{folder} is there already: take another name, or another folder with --into") from error
    try:
        return _fill(folder, names, kind)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def checked(name: str) -> Names:
    """A name's spellings.

    Raises:
        ConfigError: It is no plugin's name.
    """
    if not _NAME.fullmatch(name) or name.endswith("-") or "--" in name or len(name) > _LONGEST:
        raise ConfigError(
            f"{name!r} is no name of a plugin: at most {_LONGEST} lower case letters, digits and single hyphens, a letter "
            "first, as my-exchange"
        )
    if name.startswith("k2-plugin-"):
        raise ConfigError(f"{name!r}: leave `k2-plugin-` out, it is put before the name")
    return Names(name)


def _fill(folder: Path, names: Names, kind: str) -> list[Path]:
    templates = resources.files("k2core.scaffold") / "templates"
    found = _files(templates / "common") | _files(templates / kind)
    summary, needed = KINDS[kind]
    listed = ", ".join(f'"{one}"' for one in (f"k2core>={__version__}", *needed))
    project = found["pyproject.toml"].replace("SUMMARY", summary).replace("DEPENDENCIES", f"[{listed}]")
    found["pyproject.toml"] = project
    written = []
    for path, text in sorted(found.items()):
        target = folder / names.put_into(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(names.put_into(text), encoding="utf-8")
        written.append(target)
    return written


def _files(folder: Traversable, below: str = "") -> dict[str, str]:
    """Templates below a folder by the path they are written to."""
    found: dict[str, str] = {}
    for one in folder.iterdir():
        if one.is_dir():
            found |= _files(one, f"{below}{one.name}/")
        elif one.name.endswith(_SUFFIX):
            found[below + one.name.removesuffix(_SUFFIX)] = one.read_text(encoding="utf-8")
    return found
