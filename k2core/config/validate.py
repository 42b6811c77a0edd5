"""Checks one section's keys against its settings model, and words every mistake for the person who made it."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from k2core.component import Settings
from k2core.config.load import EnvText, Layers, Path_
from k2core.config.wording import complaint, element_of
from k2core.discovery.registry import did_you_mean
from k2core.errors import ConfigError

_SEQUENCES = (list, tuple, set, frozenset)


class SectionError(ConfigError):
    """Everything that is wrong with one section, a line each in `problems`; the message is the first, and how many."""

    def __init__(self, problems: list[str]) -> None:
        more = f" (and {len(problems) - 1} more: `k2 config check` lists them)" if len(problems) > 1 else ""
        super().__init__(problems[0] + more)
        self.problems = problems


def validate(
    model: type[Settings], values: Mapping[str, Any], path: Path_, layers: Layers, provenance: str = ""
) -> Settings:
    """Make a section's settings; paths in them become absolute.

    Args:
        model: The settings model.
        values: Its keys as merged, without `use`.
        path: Where the section stands.
        layers: For origins, and the folder that paths are relative to.
        provenance: Distribution and version of the component, for messages.

    Raises:
        SectionError: Some keys are unknown, missing or wrong.
    """
    try:
        made = model.model_validate(read_texts(model, values))
    except ValidationError as error:
        raise SectionError([_word(e, model, path, layers, provenance) for e in error.errors()]) from error
    return typing.cast("Settings", _absolute(made, layers.folder))


def inner_model(annotation: Any) -> type[BaseModel] | None:
    """The settings model that an annotation holds, also within `X | None`; None where it holds none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    arms = typing.get_args(annotation) if _is_union(annotation) else ()
    return next((m for arm in arms if (m := inner_model(arm))), None)


def is_secret(annotation: Any) -> bool:
    """Whether a setting is a secret."""
    return annotation is SecretStr or any(is_secret(a) for a in typing.get_args(annotation))


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _containers(annotation: Any) -> set[type]:
    arms = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    origins = {typing.get_origin(arm) or arm for arm in arms}
    return {o for o in origins if isinstance(o, type) and o not in (str, bytes)}


def read_texts(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn texts of the environment into what their fields hold: JSON or comma lists where that is a container."""
    read: dict[str, Any] = {}
    for key, value in values.items():
        field = model.model_fields.get(key)
        inner = inner_model(field.annotation) if field else None
        if isinstance(value, EnvText):
            value = _read_text(value, field.annotation if field else str)
        elif inner and isinstance(value, dict):
            value = read_texts(inner, value)
        read[key] = value
    return read


def _read_text(text: str, annotation: Any) -> Any:
    kinds = _containers(annotation)
    sequence = any(issubclass(k, _SEQUENCES) or k.__name__ == "Sequence" for k in kinds)
    mapping = any(issubclass(k, dict | BaseModel) or k.__name__ == "Mapping" for k in kinds)
    if (sequence or mapping) and text.lstrip()[:1] in {"[", "{"}:
        try:
            return json.loads(text)
        except ValueError:
            return str(text)  # the model says what it wanted instead
    if sequence:
        return [part.strip() for part in text.split(",") if part.strip()]
    return str(text)


def _word(error: ErrorDetails, model: type[BaseModel], path: Path_, layers: Layers, provenance: str) -> str:
    parts = tuple(str(p) for p in error["loc"])
    where = layers.where((*path, *parts))
    by = f" ({provenance})" if provenance else ""
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key{by}{did_you_mean(parts[-1], _siblings(model, parts[:-1]))}"
    if error["type"] == "missing":
        table = ".".join((*path, *parts[:-1]))
        return f"{where}: is needed and has no default: add `{parts[-1]} = …` to [{table}]{by}"
    return f"{where}: {complaint(error, _annotation_at(model, parts), _secret_at(model, parts))}{by}"


def _annotation_at(model: type[BaseModel], parts: tuple[str, ...]) -> Any:
    """What the value at a path was to be; behind a list's name, what its entries are."""
    for length in range(len(parts), 0, -1):
        found = _model_at(model, parts[: length - 1])
        if found and (field := found.model_fields.get(parts[length - 1])):
            return field.annotation if length == len(parts) else element_of(field.annotation)
    return str


def _model_at(model: type[BaseModel], parts: tuple[str, ...]) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    for part in parts:
        field = found.model_fields.get(part) if found else None
        found = inner_model(field.annotation) if field else None
    return found


def _siblings(model: type[BaseModel], parts: tuple[str, ...]) -> list[str]:
    found = _model_at(model, parts)
    return list(found.model_fields) if found else []


def _secret_at(model: type[BaseModel], parts: tuple[str, ...]) -> bool:
    """Whether the value at a path may not be shown: it, or the list that it stands in, is a secret or unknown."""
    for length in range(len(parts), 0, -1):
        found = _model_at(model, parts[: length - 1])
        if found and (field := found.model_fields.get(parts[length - 1])):
            return is_secret(field.annotation)
    return True


def _absolute(settings: BaseModel, folder: Path) -> BaseModel:
    changed: dict[str, Any] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        extra = field.json_schema_extra
        if isinstance(value, BaseModel):
            changed[name] = _absolute(value, folder)
        elif isinstance(extra, dict) and extra.get("path") and value is not None and "://" not in str(value):
            changed[name] = type(value)(folder / Path(value).expanduser())
    return settings.model_copy(update=changed) if changed else settings
