"""Whether a plugin was made for this k2core: its distribution's own requirement, which pip states but does not enforce."""

from __future__ import annotations

import re
from importlib.metadata import Distribution

from k2core import __version__

OURS = "k2core"
_FOREIGN_NAME = re.compile(r"cannot import name '(\w+)' from 'k2core\.(plugin|testing)'")


def unmet(dist: Distribution) -> str:
    """Why a distribution does not fit this k2core; empty where it does, or does not say."""
    for text in dist.requires or ():
        if text.lower().startswith(OURS) and (wanted := _specifier(text)):
            advice = f"`pip install --upgrade {dist.name}`, or install a k2core that fits"
            return f"needs {OURS} {wanted}, and this is {__version__}: {advice}"
    return ""


def _specifier(text: str) -> str:
    """The versions of k2core that a requirement wants, if it is one and this k2core is none of them."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        return ""
    if wanted.name.lower() != OURS or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
        return ""
    return "" if wanted.specifier.contains(__version__, prereleases=True) else str(wanted.specifier)


def newer_name(error: str) -> str:
    """What to add to an error that asks `k2core.plugin` for a name that it does not have."""
    found = _FOREIGN_NAME.search(error)
    if not found:
        return ""
    from importlib import import_module

    from k2core.discovery.registry import did_you_mean

    known = import_module(f"k2core.{found.group(2)}").__all__
    near = did_you_mean(found.group(1), known)
    return f"; this is k2core {__version__}" + (near or ": the plugin may need another one")
