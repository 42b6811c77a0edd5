"""Finds plugins and keeps what they offer, with provenance.

`loading` imports entry points and one-file plugins, each in isolation; `collect` calls their hooks and checks what they
return; `registry` answers "which component has this name, and if none, how do I get it". Survives plugins that fail to
import, raise, print, exit, mistype a hook or clash: each is reported with its distribution, and stops nothing that
does not name it.
"""

from __future__ import annotations

from k2core.discovery.loading import GROUP, discover
from k2core.discovery.registry import Entry, Registry, did_you_mean

__all__ = ["GROUP", "Entry", "Registry", "did_you_mean", "discover"]
