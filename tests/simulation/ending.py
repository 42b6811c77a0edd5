"""One whole life of a world, and its end: when all goes well again, everything must come right.

What was read must be stored, field by field; what is stored must be answered by every server; accounts must close.
"""

from __future__ import annotations

from collections import Counter

from k2core.records.topics import PARTITIONS
from tests.simulation.actors import Writer
from tests.simulation.oracle import WrongError, is_shed
from tests.simulation.world import World


def live(seed: int, told: Counter[str], steps: int = 150) -> str:
    """Live one world; its trace.

    Raises:
        WrongError: Something is wrong.
    """
    world = World(seed, told)
    try:
        for _ in range(steps):
            world.tick()
        finish(world)
    finally:
        for capture in list(world.captures):
            capture.drop()
    return world.trace


def finish(world: World) -> None:
    """All goes well from here on: what was read must be stored, what is stored must be answered."""
    world.calm, world.odds = True, dict.fromkeys(world.odds, 0.0)
    for capture in list(world.captures):
        capture.finish()
    world.start_writer()
    writer, there = world.writers[-1], stored_ids(world)
    for _ in range(200):
        owned = len(writer.lane.pipeline.committed)
        if owned == PARTITIONS and world.lake.newest().offsets == world.log.ends([world.topic]):
            break
        world.clock.advance(1)
        if not writer.move():
            raise WrongError("the last writer ended")
    newest = world.lake.newest()
    if newest.offsets != world.log.ends([world.topic]):
        raise WrongError(f"not everything was stored: {newest.offsets} of {world.log.ends([world.topic])}")
    world.oracle.check_table(newest.extra or (), newest.offsets, newest.shed)
    check_holes(world, writer, there)
    world.load.restore_all(writer)
    newest = world.lake.newest()
    world.oracle.check_table(newest.extra or (), newest.offsets, newest.shed)
    world.oracle.check_fields(newest.extra or ())
    world.questions.finish()
    world.told["rows"] += len(newest.extra or ())
    world.told["records"] += sum(len(e) for e in world.oracle.entries.values())
    world.note(f"end {len(newest.extra or ())}")


def stored_ids(world: World) -> dict[str, set[int]]:
    """Ids in the table, by symbol."""
    found: dict[str, set[int]] = {}
    for row in world.lake.newest().extra or ():
        found.setdefault(row["symbol"], set()).add(int(row[world.data_type.id_column or ""]))
    return found


def check_holes(world: World, writer: Writer, there: dict[str, set[int]]) -> None:
    """No id that is named as missing is stored; where the window held all of a symbol, each absent one is named."""
    stored = stored_ids(world)
    named = {(h.symbol, i) for h in writer.lane.pipeline.holes() for i in range(h.first, h.last + 1)}
    if wrong := sorted((s, i) for s, i in named if i in stored.get(s, ())):
        raise WrongError(f"named as missing and stored: {wrong[:3]}")
    if world.facts.ids == "contiguous" and world.clock.monotonic() < world.window_s:
        absent = {(s, i) for s, ids in there.items() for i in range(min(ids), max(stored[s])) if i not in stored[s]}
        shed = world.lake.newest().shed
        known = {(e.symbol, e.number) for there in world.oracle.entries.values() for e in there if is_shed(e, shed)}
        if unnamed := sorted(absent - named - known):
            raise WrongError(f"missing and not named: {unnamed[:3]}")
        world.told["holes all named"] += 1
    world.told["holes"] += len(named)
