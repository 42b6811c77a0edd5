"""Writes the configuration reference from the settings models: `python -m k2core.config.reference FILE [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from k2core.config.load import CORE
from k2core.config.resolve import CORE_MODELS, KIND_OF
from k2core.config.validate import inner_model
from k2core.config.wording import type_name
from k2core.discovery.loading import discover
from k2core.discovery.registry import Registry

HEAD = """# Configuration

This page is generated from the settings models (`nox -s generate`); a test fails where it is stale.

Settings are read from `--config PATH`, else from the file that `K2_CONFIG` names, else from `./k2.toml`; every section
may be absent, and so may the file. Order: defaults < file < environment < command line. A setting's variable is
`K2_SECTION__KEY`, with two underscores: `K2_API__PORT=8080`, `K2_CONNECTORS__BINANCE__SYMBOLS=BTCUSDT,ETHUSDT` (lists
are comma separated or JSON). Of the other names that begin with `K2_`, only `K2_CONFIG` and `K2_API_KEY` (the API's
key) mean anything. Relative paths are relative to the file's folder. `k2 config show` prints every value with its
origin, `k2 config check` everything that is wrong.

The name of a table is the instance, `use` the component: `[sinks.lake]` with `use = "iceberg"`. Without `use` the
instance's name is the component's; `[enrichers.NAME]` also takes `active = false`, which keeps an enricher's columns and
stops it. `[broker]` uses `embedded`, `[dedup]` uses `memory`, and where no sink is named there
is one, `lake`, that uses `iceberg`.
"""


def markdown(registry: Registry) -> str:
    """The whole page: the components' sections, then core's."""
    parts = [HEAD]
    for section, kind in KIND_OF.items():
        title = section if section in ("broker", "dedup") else f"{section}.NAME"
        for name, entry in registry.usable(kind).items():
            component = entry.component
            parts.append(f'## `[{title}]` with `use = "{name}"`\n\n{component.summary} (`{entry.distribution}`)\n')
            parts.append(table(component.settings))
    for name in CORE:
        parts.append(f"## `[{name}]`\n\n{summary(CORE_MODELS[name])}\n")
        parts.append(table(CORE_MODELS[name]))
    return "\n".join(parts)


def table(model: type[BaseModel]) -> str:
    """A model's fields as a Markdown table; nested models are dotted."""
    found = list(_rows(model, ""))
    if not found:
        return "It has no settings.\n"
    lines = ["| key | type | default | meaning |", "|---|---|---|---|", *found]
    return "\n".join(lines) + "\n"


def summary(model: type[BaseModel]) -> str:
    """What a model's docstring says behind the section's name."""
    text = (model.__doc__ or "").strip().splitlines()[0].split(": ", 1)[-1]
    return text[:1].upper() + text[1:]


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = inner_model(field.annotation)
        if inner is not None:
            yield from _rows(inner, f"{prefix}{name}.")
            continue
        cells = (f"`{prefix}{name}`", type_name(field.annotation), _default(field), field.description or "")
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "needed"
    if isinstance(value, SecretStr) and "@" not in value.get_secret_value():
        value = value.get_secret_value()  # an address as it is in the source: it holds no user and no password
    if value is None or value in ((), [], {}, ""):
        return "none"
    if isinstance(value, list | tuple):
        return "`[" + ", ".join(f'"{v}"' for v in value) + "]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` compare it; 1 where it is stale."""
    target, check = Path(arguments[0]), "--check" in arguments
    page = markdown(discover())
    if check:
        return 0 if target.is_file() and target.read_text("utf-8") == page else 1
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
