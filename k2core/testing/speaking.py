"""The fake server's calls of a dialect. What a dialect raises is told once, with the place in the author's own file.

Survived: a dialect that raises, or gives what is no answer. The first such fault is remembered in
`FakeExchange.dialect_errors` and logged with its traceback; the client's connection ends (1011), REST is answered 500, and
whoever waits for the exchange is told at once.
"""

from __future__ import annotations

import inspect
import logging
import os
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any

from k2core.testing.dialect import Dialect

if TYPE_CHECKING:
    from k2core.testing.exchange import FakeExchange

_LOGGER = logging.getLogger(__name__)
_MOST_SHOWN = 200


class DialectError(Exception):
    """A dialect raised; says which method, what, and where."""


def speak(exchange: FakeExchange, method: str, *args: Any) -> Any:
    """Call a method of the exchange's dialect.

    Raises:
        DialectError: It raised, or gave what is no answer; it stands in `exchange.dialect_errors` too.
    """
    try:
        answer = getattr(exchange.dialect, method)(*args)
        if method == "answer":
            _require_answer(answer)
    except Exception as error:
        said = DialectError(_said(exchange.dialect, method, args, error))
        if not exchange.dialect_errors:
            _LOGGER.exception("%s; later ones are not logged", said)
        exchange.dialect_errors.append(str(said))
        exchange.notify()
        raise said from error
    return answer


def _require_answer(answer: Any) -> None:
    replies, streams = answer
    if not isinstance(replies, list | tuple) or not all(isinstance(one, bytes) for one in replies):
        raise TypeError(f"the replies are a list of bytes, not {replies!r:.100}")
    if not isinstance(streams, set | frozenset):
        raise TypeError(f"the streams are a set, not {streams!r:.100}")


def _said(dialect: Dialect, method: str, args: tuple[Any, ...], error: Exception) -> str:
    """What raised what, where, on what."""
    name, place = _raising(dialect, error.__traceback__)
    if method == "answer" and name in (None, "answer") and type(dialect).answer is Dialect.answer:
        name = "on_message"
    texts = sorted((arg for arg in args if isinstance(arg, bytes | str)), key=lambda arg: isinstance(arg, str))
    on = "".join(f" on {text[:_MOST_SHOWN]!r}" for text in texts[:1])  # the message or frame; else the path
    what = f"{type(error).__name__}: {error}"
    return f"your Dialect.{name or method} raised {what[:_MOST_SHOWN]}{place}{on}"


def _raising(dialect: Dialect, trace: TracebackType | None) -> tuple[str | None, str]:
    """The innermost method of the dialect that was at work, and the innermost line of the author's file."""
    name, place, own = None, "", inspect.getfile(type(dialect))
    for frame, line in traceback.walk_tb(trace):
        if frame.f_locals.get("self") is dialect and hasattr(Dialect, frame.f_code.co_name):
            name = frame.f_code.co_name
        if frame.f_code.co_filename == own:
            place = f" ({os.path.basename(own)}:{line})"
    return name, place
