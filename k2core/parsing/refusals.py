"""Why a frame cannot become records: `RejectFrame`, raised by authors, and the reasons of what libraries raise.

Survived here: whatever JSON an exchange, or whoever plays one, may send. Each error becomes a slug and a sentence.
"""

from __future__ import annotations

from decimal import DecimalException
from json import JSONDecodeError
from typing import NamedTuple

import msgspec

from k2core.errors import NormalizationError

PARSER_ERROR = "parser-error"
"""Reason of frames on which the author's own code failed: to be mended there."""
UNREADABLE = (msgspec.DecodeError, JSONDecodeError, UnicodeDecodeError, RecursionError)
"""What reading JSON raises, with msgspec or the standard library; `RecursionError` on absurdly deep nesting."""
_MOST_CHARACTERS = 300


class Refusal(NamedTuple):
    """Why a frame or a row cannot be kept: a stable slug, and a sentence."""

    reason: str
    detail: str


class RejectFrame(NormalizationError):  # noqa: N818 - said in the imperative: it is how a parser refuses
    """Raised by `FrameParser.parse`: this frame becomes one dead letter, its neighbours live.

    Args:
        reason: Stable slug; see `Rejected`.
        detail: What was wrong, in a sentence.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def refusal_of(error: Exception) -> Refusal:
    """What an error that reading a frame raised says about the frame.

    msgspec's and the standard library's errors have reasons of their own; of all others the author's code is at fault
    (`parser-error`).
    """
    if isinstance(error, RejectFrame):
        return Refusal(error.reason, error.detail[:_MOST_CHARACTERS])
    text = str(error)[:_MOST_CHARACTERS]
    if isinstance(error, msgspec.ValidationError):
        return Refusal(_reason_of(text), text)
    if isinstance(error, UNREADABLE):
        return Refusal("malformed-json", text)
    named = f"{type(error).__name__}: {text}"
    if isinstance(error, LookupError):
        return Refusal("missing-field", named)
    if isinstance(error, DecimalException):
        return Refusal("bad-number", named)
    if isinstance(error, TypeError | ValueError):
        return Refusal("wrong-type", named)
    return Refusal(PARSER_ERROR, named)


def _reason_of(text: str) -> str:
    """The reason of JSON that is not of the asked shape, by msgspec's words."""
    if text.startswith("Expected `object`") and "$" not in text:
        return "unknown-message"
    if "missing required field" in text:
        return "missing-field"
    if "out of range" in text or text.startswith("Invalid decimal"):
        return "bad-number"
    return "unknown-message" if text.startswith("Invalid value") else "wrong-type"
