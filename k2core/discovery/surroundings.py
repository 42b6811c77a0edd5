"""`Surroundings`: what all plugins of a process share; what one changes while it is loaded is undone, and named.

Undone: working directory, locale, signal handlers, root logger, warning filters, decimal context, environment,
built-ins, interpreter switches. What a plugin adds to `sys.path` stays, at its end, where it hides nobody's modules.
"""

from __future__ import annotations

import builtins
import contextlib
import decimal
import gc
import locale
import logging
import operator
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CONTEXT = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


@dataclass(frozen=True, slots=True)
class Facet:
    """One thing that is shared: its name, how it is read, put back to what was read, and compared with that."""

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]
    same: Callable[[Any, Any], bool] = operator.eq


class Surroundings:
    """What was there before a plugin was loaded."""

    def __init__(self) -> None:
        self._before = [(facet, facet.read()) for facet in FACETS]

    def undo(self) -> list[str]:
        """Put back what is different now, and name it."""
        changed = []
        for facet, before in self._before:
            if _differs(facet, before):
                facet.restore(before)
                changed.append(facet.name)
        return changed


def _differs(facet: Facet, before: Any) -> bool:
    try:
        return not facet.same(before, facet.read())
    except Exception:  # noqa: BLE001 - what cannot even be read any more is surely different
        return True


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def _path() -> tuple[list[str], list[str]]:
    return sys.path, list(sys.path)


def _restore_path(before: tuple[list[str], list[str]]) -> None:
    path, old = before
    added = [entry for entry in sys.path if entry not in old]
    path[:] = [*old, *added]
    sys.path = path


def _same_path(before: tuple[list[str], list[str]], now: tuple[list[str], list[str]]) -> bool:
    """Whether what was there is still there, first and in this order."""
    return now[0] is before[0] and now[1][: len(before[1])] == before[1]


def _signals() -> dict[int, Any]:
    return {int(n): signal.getsignal(n) for n in signal.valid_signals()}


def _restore_signals(before: dict[int, Any]) -> None:
    if threading.current_thread() is threading.main_thread():
        for number, old in before.items():
            if old is not None and signal.getsignal(number) is not old:
                signal.signal(number, old)


def _disabled() -> set[str]:
    """Our own loggers that say nothing; `logging.config` has a way of disabling those it does not know."""
    known = logging.Logger.manager.loggerDict.items()
    return {n for n, one in known if n.split(".")[0] == "k2" and isinstance(one, logging.Logger) and one.disabled}


def _logging() -> tuple[Any, ...]:
    root = logging.getLogger()
    return (root.level, list(root.handlers), list(root.filters), root.disabled, root.manager.disable,
            logging.getLoggerClass(), _disabled())  # fmt: skip


def _restore_logging(before: tuple[Any, ...]) -> None:
    root = logging.getLogger()
    level, root.handlers[:], root.filters[:], root.disabled, root.manager.disable, kind, disabled = before
    root.setLevel(level)
    logging.setLoggerClass(kind)
    for name in _disabled() - disabled:
        logging.getLogger(name).disabled = False


def _warnings() -> tuple[Any, ...]:
    return list(warnings.filters), warnings.showwarning


def _same_warnings(before: tuple[Any, ...], now: tuple[Any, ...]) -> bool:
    """Filters for one message or module are their owner's business; the others hit everybody's warnings."""
    blanket = [[f for f in filters if f[1] is None and f[3] is None] for filters, _ in (before, now)]
    return blanket[0] == blanket[1] and before[1] is now[1]


def _restore_warnings(before: tuple[Any, ...]) -> None:
    filters, warnings.showwarning = before
    own = [f for f in warnings.filters if f not in filters and (f[1] is not None or f[3] is not None)]
    warnings.filters[:] = [*own, *filters]  # type: ignore[index]
    with warnings.catch_warnings():
        pass  # leaving it makes the module forget what it had worked out


def _traits(context: decimal.Context) -> tuple[Any, ...]:
    return (*(getattr(context, name) for name in CONTEXT), dict(context.traps))


def _decimal() -> tuple[Any, ...]:
    return _traits(decimal.getcontext()), _traits(decimal.DefaultContext)


def _restore_decimal(before: tuple[Any, ...]) -> None:
    for context, (*values, traps) in zip((decimal.getcontext(), decimal.DefaultContext), before, strict=True):
        for name, value in zip(CONTEXT, values, strict=True):
            setattr(context, name, value)
        context.traps.update(traps)


def _restore_environment(before: dict[str, str]) -> None:
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def _builtins() -> dict[str, Any]:
    return {name: value for name, value in vars(builtins).items() if name != "_"}


def _restore_builtins(before: dict[str, Any]) -> None:
    for name in set(_builtins()) - set(before):
        delattr(builtins, name)
    vars(builtins).update(before)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _switches() -> tuple[Any, ...]:
    return (sys.stdin, sys.stdout, sys.stderr, sys.excepthook, sys.displayhook, threading.excepthook, gc.isenabled(),
            sys.getrecursionlimit(), sys.getswitchinterval(), sys.get_int_max_str_digits(), _umask())  # fmt: skip


def _restore_switches(before: tuple[Any, ...]) -> None:
    sys.stdin, sys.stdout, sys.stderr, sys.excepthook, sys.displayhook, threading.excepthook = before[:6]
    collects, recursion, interval, digits, mask = before[6:]
    (gc.enable if collects else gc.disable)()
    sys.setrecursionlimit(recursion)
    sys.setswitchinterval(interval)
    sys.set_int_max_str_digits(digits)
    os.umask(mask)


def _restore_folder(before: str) -> None:
    with contextlib.suppress(OSError):  # it is gone, or was never ours to enter
        os.chdir(before)


FACETS = (
    Facet("the working directory", _folder, _restore_folder),
    Facet("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda old: locale.setlocale(locale.LC_ALL, old)),
    Facet("signal handlers", _signals, _restore_signals),
    Facet("the root logger", _logging, _restore_logging),
    Facet("warning filters", _warnings, _restore_warnings, _same_warnings),
    Facet("the decimal context", _decimal, _restore_decimal),
    Facet("sys.path", _path, _restore_path, _same_path),
    Facet("environment variables", lambda: dict(os.environ), _restore_environment),
    Facet("built-ins", _builtins, _restore_builtins),
    Facet("interpreter switches", _switches, _restore_switches),
)
"""Everything that is looked after."""
