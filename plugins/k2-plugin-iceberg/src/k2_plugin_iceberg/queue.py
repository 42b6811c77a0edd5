"""What writers leave beside the catalog for the one of them that commits for all: entries, and who that one is.

Two small tables of our own in the catalog's database:

    k2_commits      id, table, state (`waiting`, `landed`, `refused`, `withdrawn`), the entry, what became of it
    k2_committers   table, who commits (empty: nobody), a number that changes whenever that does

Nothing here is needed for anything to be right. An entry leaves the state `waiting` once, by a conditional update: it
lands in the very transaction that makes its snapshot the table's (`land`), or its owner takes it back (`withdraw`), and
then no committer that still holds it can land it. Who commits is a matter of speed: two at once only make one of them
try again. Survived: committers and owners that die or freeze anywhere, replies that are lost, statements that reach the
database late.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

WAITING, LANDED, REFUSED, WITHDRAWN = "waiting", "landed", "refused", "withdrawn"
MOST = 64
"""Entries that land in one commit, at most."""

_TABLES = MetaData()
COMMITS = Table(
    "k2_commits", _TABLES,
    Column("id", String(32), primary_key=True),
    Column("table_name", String(512), nullable=False, index=True),
    Column("state", String(16), nullable=False),
    Column("made_ms", BigInteger, nullable=False),
    Column("entry", Text, nullable=False),
    Column("told", Text, nullable=False),
)  # fmt: skip
COMMITTERS = Table(
    "k2_committers", _TABLES,
    Column("table_name", String(512), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("beat", BigInteger, nullable=False),
)  # fmt: skip


class Seen(NamedTuple):
    """A look at the queue: what became of one's own entry (None: it is not there), and who commits."""

    state: str | None
    told: Mapping[str, Any]
    holder: str
    beat: int


class CommitQueue:
    """The entries of one table.

    Args:
        engine: Of the catalog's database.
        table: Catalog's and table's name, as text.
    """

    def __init__(self, engine: Engine, table: str) -> None:
        self._engine, self._table = engine, table
        self._mine = COMMITTERS.c.table_name == table

    def make(self) -> None:
        """Make our tables and this table's row, where they are missing; others may do so at the same time."""
        for last in (False, False, True):
            try:
                _TABLES.create_all(self._engine)
                with self._engine.begin() as link:
                    if link.execute(select(COMMITTERS.c.beat).where(self._mine)).first() is None:
                        link.execute(insert(COMMITTERS).values(table_name=self._table, holder="", beat=0))
            except SQLAlchemyError:
                if last:
                    raise
            else:
                break

    def put(self, entry_id: str, entry: str, now_ms: int, done: Collection[str]) -> None:
        """Leave an entry, and take finished ones of one's own away.

        Raises:
            SQLAlchemyError: Whether it is there is unknown.
        """
        row = {
            "id": entry_id,
            "table_name": self._table,
            "state": WAITING,
            "made_ms": now_ms,
            "entry": entry,
            "told": "",
        }
        with self._engine.begin() as link:
            link.execute(insert(COMMITS).values(row))
            if done:
                link.execute(delete(COMMITS).where(COMMITS.c.id.in_(done)))

    def look(self, entry_id: str) -> Seen:
        """See what became of an entry, and who commits."""
        with self._engine.connect() as link:
            own = link.execute(select(COMMITS.c.state, COMMITS.c.told).where(COMMITS.c.id == entry_id)).first()
            lead = link.execute(select(COMMITTERS.c.holder, COMMITTERS.c.beat).where(self._mine)).first()
        state, told = (own.state, json.loads(own.told or "{}")) if own else (None, {})
        return Seen(state, told, *(tuple(lead) if lead else ("", 0)))

    def waiting(self) -> list[tuple[str, str]]:
        """Ids and entries that wait, oldest first."""
        chosen = select(COMMITS.c.id, COMMITS.c.entry).where(
            COMMITS.c.table_name == self._table, COMMITS.c.state == WAITING
        )
        with self._engine.connect() as link:
            return [(r.id, r.entry) for r in link.execute(chosen.order_by(COMMITS.c.made_ms, COMMITS.c.id).limit(MOST))]

    def lead(self, me: str, seen: Seen) -> bool:
        """Become the one that commits, where who does is still as it was seen."""
        still = (self._mine, COMMITTERS.c.holder == seen.holder, COMMITTERS.c.beat == seen.beat)
        with self._engine.begin() as link:
            changed = link.execute(update(COMMITTERS).where(*still).values(holder=me, beat=seen.beat + 1)).rowcount
        return changed == 1

    def land(self, link: Connection, ids: Collection[str], snapshot_id: int, me: str) -> bool:
        """Within the swap's transaction: these entries landed, and whoever wants to commits next.

        Returns:
            False where one of them was withdrawn: nothing may land.
        """
        still = (COMMITS.c.id.in_(ids), COMMITS.c.state == WAITING)
        told = json.dumps({"snapshot": snapshot_id})
        changed = link.execute(update(COMMITS).where(*still).values(state=LANDED, told=told, entry="")).rowcount
        self._resign(link, me)
        return changed == len(ids)

    def refuse(self, refused: Mapping[str, Mapping[str, Any]]) -> None:
        """These entries cannot land, each for its reason; those that were withdrawn meanwhile stay so."""
        with self._engine.begin() as link:
            for entry_id, told in refused.items():
                still = (COMMITS.c.id == entry_id, COMMITS.c.state == WAITING)
                change = update(COMMITS).where(*still).values(state=REFUSED, told=json.dumps(told), entry="")
                link.execute(change)

    def resign(self, me: str) -> None:
        """Let another one commit."""
        with self._engine.begin() as link:
            self._resign(link, me)

    def withdraw(self, entry_id: str, now_ms: int) -> Seen:
        """Take one's entry back unless something became of it; it cannot land afterwards.

        An insert of which nothing was heard may yet arrive: a row that says `withdrawn` stands in its way.

        Returns:
            What became of it: `withdrawn`, or what had happened before.
        """
        still = (COMMITS.c.id == entry_id, COMMITS.c.state == WAITING)
        row = {
            "id": entry_id, "table_name": self._table, "state": WITHDRAWN, "made_ms": now_ms, "entry": "", "told": ""
        }  # fmt: skip
        with self._engine.begin() as link:
            link.execute(update(COMMITS).where(*still).values(state=WITHDRAWN, entry=""))
        if (seen := self.look(entry_id)).state is not None:
            return seen
        try:
            with self._engine.begin() as link:
                link.execute(insert(COMMITS).values(row))
        except IntegrityError:
            return self.withdraw(entry_id, now_ms)
        return seen._replace(state=WITHDRAWN)

    def sweep(self, before_ms: int) -> None:
        """Forget entries made before a time: their owners are gone, or have been told long ago."""
        with self._engine.begin() as link:
            link.execute(delete(COMMITS).where(COMMITS.c.table_name == self._table, COMMITS.c.made_ms < before_ms))

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    def _resign(self, link: Connection, me: str) -> None:
        link.execute(update(COMMITTERS).where(self._mine, COMMITTERS.c.holder == me).values(holder=""))
