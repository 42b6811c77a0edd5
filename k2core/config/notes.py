"""What is not wrong in the settings but probably not meant: said, and then done as written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from k2core.config.load import CORE, ENV_PREFIX, NAMED, SECTIONS
from k2core.config.resolve import CORE_MODELS, Config, Section
from k2core.config.validate import read_texts
from k2core.discovery.registry import Registry, nearest
from k2core.errors import K2Error

MEANT = frozenset({"K2_CONFIG", "K2_API_KEY"})
"""Variables with single underscores that mean something."""


def notes(config: Config, registry: Registry, env: Mapping[str, str]) -> list[str]:
    """Every such thing, one line each."""
    found = [text for name in sorted(env) if (text := _variable(name, config))]
    for section in config.connectors:
        found += _symbols(section, config, registry)
    return found


def _variable(name: str, config: Config) -> str:
    """What to say of a variable that looks like a setting but is none; empty for all others."""
    if not name.startswith(ENV_PREFIX) or "__" in name or name in MEANT:
        return ""
    words = name[len(ENV_PREFIX) :].lower()
    section = next((s for s in SECTIONS if words.startswith(f"{s}_")), "")
    if not section:
        return ""
    rest = words[len(section) + 1 :]
    if section in CORE:
        parts = [section, nearest(rest, CORE_MODELS[section].model_fields) or rest]
    elif section in NAMED:
        instances = [i.replace("-", "_") for i in config.layers.tree.get(section, {})]
        instance = next((i for i in instances if rest.startswith(f"{i}_")), rest.split("_")[0])
        parts = [section, instance, rest[len(instance) + 1 :] or "use"]
    else:
        parts = [section, rest]
    meant = ENV_PREFIX + "__".join(parts).upper()
    return f"{name}: means nothing, for settings' names have double underscores; did you mean {meant}?"


def _symbols(section: Section, config: Config, registry: Registry) -> Iterator[str]:
    """Symbols that are read otherwise than they are written, or stand there twice."""
    try:
        entry, settings = config.settings(section, registry)
    except K2Error:
        return  # that is a mistake, and told as one
    written = read_texts(entry.component.settings, section.values).get("symbols")
    read = getattr(settings, "symbols", None)
    if not isinstance(written, list | tuple) or not isinstance(read, list | tuple):
        return
    where = config.layers.where((*section.path, "symbols"))
    spelled = [_spelling(text, read) for text in written]
    for text, other in zip(written, spelled, strict=True):
        if text != other:
            yield f"{where}: {text!r} is read as {other!r}, as the exchange spells it"
    for text, count in Counter(spelled).items():
        if count > 1:
            yield f"{where}: {text!r} stands there {count} times; it is captured once"


def _spelling(written: str, read: list[str] | tuple[str, ...]) -> str:
    """What a symbol was read as."""
    if written in read:
        return written
    return next((text for text in read if text.lower() == written.lower()), written)
