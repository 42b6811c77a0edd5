"""Spreads the tests over the workers of `--dist loadgroup`: what shares a start stays on one, and the longest go first.

Tests that share something are a unit, which one worker runs in one go: those of one `xdist_group`, else those of a module
with fixtures that live longer than a test, else each test is its own. A long unit that begins last would keep one worker
busy while the other has nothing left, so units begin in the order of `tests.spread.seconds`.

pytest-xdist 3.8 tells its scheduler the groups by changing node ids, which pytest 9.2 does not let it: the marks do
nothing there, and nothing says so. Here a worker writes the units to a file of the run before it reports its tests.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.spread.seconds import seconds_of

FOLDER = pytest.StashKey[Path]()
"""Where workers write the units of their tests."""
_PLACE = "k2_units"
_SHARED = ("class", "module", "package")
_SLOW_STARTS = {"kafka", "schema_registry"}
"""Fixtures of the whole run that are better started on one worker."""


class UnitScheduling(LoadScopeScheduling):
    """Sends whole units, in the order in which the workers collected them.

    Args:
        config: The run's.
        log: xdist's.
        folder: Where the workers wrote what unit a test belongs to.
    """

    def __init__(self, config: pytest.Config, log: object, folder: Path) -> None:
        super().__init__(config, log)  # type: ignore[arg-type]
        config.option.loadscopereorder = False
        self._folder = folder
        self._units: dict[str, str] = {}

    def schedule(self) -> None:
        """Read the units once, when every worker has written them; then as any other."""
        if not self._units:
            self._units = json.loads(next((one.read_text() for one in self._folder.iterdir()), "{}"))
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._units[nodeid]


def unit_of(item: pytest.Item, shared: set[Path]) -> str:
    """The name of the unit that a test belongs to."""
    if mark := item.get_closest_marker("xdist_group"):
        return str(mark.args[0] if mark.args else mark.kwargs["name"])
    if _SLOW_STARTS.intersection(getattr(item, "fixturenames", ())):
        return "kafka"
    return item.nodeid.partition("::")[0] if item.path in shared else item.nodeid


def shared_modules(items: Iterable[pytest.Item]) -> set[Path]:
    """Modules whose tests use a fixture that lives longer than one of them and is not the whole run's."""
    found = set()
    for item in items:
        info = getattr(item, "_fixtureinfo", None)
        used = [one for name in info.names_closure for one in info.name2fixturedefs.get(name, ())] if info else []
        if any(one.scope in _SHARED and one.baseid for one in used):
            found.add(item.path)
    return found


def in_units(items: list[pytest.Item]) -> dict[str, list[pytest.Item]]:
    """Tests by unit: the longest first, the rest in the order of collection."""
    shared, units = shared_modules(items), dict[str, list[pytest.Item]]()
    for item in items:
        units.setdefault(unit_of(item, shared), []).append(item)
    return dict(sorted(units.items(), key=lambda unit: -seconds_of(unit[0])))


def spreads(config: pytest.Config) -> bool:
    """Whether this process gives out tests, or is given them, by units."""
    worker = getattr(config, "workerinput", None)
    return _PLACE in worker if worker is not None else config.getoption("dist", "no") == "loadgroup"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a worker: put the tests in the order of their units, and write the units down."""
    if not (hasattr(config, "workerinput") and spreads(config)):
        return
    units = in_units(items)
    items[:] = [item for unit in units.values() for item in unit]
    written = {item.nodeid: name for name, unit in units.items() for item in unit}
    place = Path(config.workerinput[_PLACE])
    place.write_text(json.dumps(written))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker where to write its units."""
    if spreads(node.config):
        node.workerinput[_PLACE] = str(_folder(node.config) / f"{node.gateway.id}.json")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling | None:
    """Units in place of xdist's own groups."""
    return UnitScheduling(config, log, _folder(config)) if spreads(config) else None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what the workers wrote."""
    if folder := config.stash.get(FOLDER, None):
        shutil.rmtree(folder, ignore_errors=True)


def _folder(config: pytest.Config) -> Path:
    if FOLDER not in config.stash:
        config.stash[FOLDER] = Path(tempfile.mkdtemp(prefix="k2-units-"))
    return config.stash[FOLDER]
