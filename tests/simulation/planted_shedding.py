"""Bugs in what is shed under load; see `planted`."""

from __future__ import annotations

from tests.simulation.planted import QUERY, WRITER, Bug, Edit

SHED_BUGS = (
    Bug(
        "shed and not recorded",
        (Edit(f"{WRITER}/waiting.py", "shed=tuple(coalesced((), self.shed)))\n",
              "shed=tuple(coalesced((), self.shed))[1:])\n"),),
    ),
    Bug(
        "shed after the claim",
        (Edit(f"{WRITER}/intake.py", "                new[part.start : part.stop][kept] = self._claim(part, kept)\n",
              "                new[part.start : part.stop] &= self._claim(part, np.ones(len(kept), bool))\n"),),
        note="What is shed stays claimed: its copy that is brought back counts as a duplicate.",
    ),
    Bug(
        "a shed range off by one",
        (Edit(f"{WRITER}/shedding.py", "Shed(topic, number, part.first_offset, part.next_offset, gone,",
              "Shed(topic, number, part.first_offset, part.next_offset - 1, gone,"),),
    ),
    Bug(
        "a tail that keeps what was shed",
        (Edit(f"{QUERY}/follower.py", "            self._window.forget_shed(shed)\n", ""),),
        seed=28,
    ),
    Bug(
        "a copy of a shed record stays dropped",
        (Edit(f"{QUERY}/copies.py", "            return any(self._within(one) for one in ranges)\n",
              "            return False\n"),),
        seed=3,
    ),
    Bug(
        "a tail that is behind shows what was shed",
        (Edit(f"{QUERY}/follower.py",
              "        kept = without_shed(admitted, view.seen.shed) if view.seen.shed else admitted\n",
              "        kept = admitted\n"),),
        seed=18,
    ),
    Bug(
        "shed rows taken from the tail",
        (Edit(f"{QUERY}/pin.py", "        if prefer_hot and shed.get(partition, 0) <= start < middle and",
              "        if prefer_hot and start < middle and"),),
        seed=20,
    ),
    Bug(
        "restored ranges count as back at any pin",
        (Edit(f"{QUERY}/shed.py", " or one.back_offset > end:\n", ":\n"),),
    ),
)  # fmt: skip
