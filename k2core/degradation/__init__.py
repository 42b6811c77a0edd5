"""Degradation: what a writer gives up under load that it cannot take, in which order, and how it comes back.

`controller` is the state machine, `trend` its judgement of a lag, `tiers` who is shed first, `memory` how full the
process is, `events` the levels as records of a small control topic, `board` their reader.
"""

from __future__ import annotations

from k2core.degradation.controller import Controller
from k2core.degradation.levels import Change, Level, Permit
from k2core.degradation.settings import DegradationSettings
from k2core.degradation.tiers import Tiers

__all__ = ["Change", "Controller", "DegradationSettings", "Level", "Permit", "Tiers"]
