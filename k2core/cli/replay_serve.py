"""`k2 replay --serve`: the exchange of a recording on this machine, for a connector that does not know the difference.

Everything is read twice: once to learn what there is to subscribe to, then to play it. Frames that are no market data
(acknowledgements, channels that k2 does not read) are left out, for the local exchange gives answers of its own; what was
no frame when it was recorded is sent again to those who had the frame before it.
"""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import click

from k2core.cli.demo_exchange import ExchangeThread, connector_lines
from k2core.cli.exchange import local_exchange, read_settings, serve, tell
from k2core.cli.session import current
from k2core.errors import ConfigError, PluginError

if TYPE_CHECKING:
    from k2core.recording.reader import RecordedFile
    from k2core.recording.replaying import Window
    from k2core.testing import Placed, TapeExchange


def serve_recording(files: Sequence[RecordedFile], window: Window, speed: float, port: int) -> None:
    """Be the exchange until Ctrl-C; stdout is the k2.toml that reaches it.

    Args:
        files: All of one exchange.
        window: Which frames.
        speed: 1 as recorded; 0 as fast as they are taken.
        port: 0 takes a free one.

    Raises:
        ConfigError: There is nothing to play, or frames of several exchanges.
        PluginError: The exchange's plugin has no local exchange that can do it.
    """
    from k2core.cli.demo_run import interrupted

    name = _one_exchange(files)
    symbols, kinds, left_out = survey(_local(name, {}), files, window)
    if not symbols:
        raise ConfigError(f"no market data of {name} in these frames ({left_out} frames looked at)")
    made = _local(name, {"symbols": ",".join(symbols), "data_types": ",".join(kinds), "port": str(port)})
    made.replays(tape(made, files, window, speed))
    with interrupted() as stopped, ExchangeThread(made) as local:
        for line in connector_lines(name, local.settings()):
            click.echo(line)
        sys.stdout.flush()
        tell(f"a recording of {name}, {len(symbols)} symbols; {left_out} frames that carry no market data are left out")
        serve(local, stopped)


def survey(local: TapeExchange, files: Sequence[RecordedFile], window: Window) -> tuple[list[str], list[str], int]:
    """Symbols and data types of the frames, busiest first, and how many frames are left out."""
    symbols, kinds, left_out = Counter[str](), Counter[str](), 0
    for _, _, frame in _frames(files, window):
        found = _placed(local, frame)
        if found is None:
            left_out += 1
        elif isinstance(found, tuple):
            symbols[found.symbol] += 1
            kinds[found.data_type] += 1
    return [name for name, _ in symbols.most_common()], sorted(kinds), left_out


def tape(local: TapeExchange, files: Sequence[RecordedFile], window: Window, speed: float) -> Iterator[Any]:
    """The frames in the order they came, of all connections and sessions together."""
    from k2core.testing.playing import Recorded

    first_ns, before = 0, dict[object, str]()
    for received_ns, connection, frame in _frames(files, window):
        first_ns = first_ns or received_ns
        at = (received_ns - first_ns) / 1e9 / speed if speed else 0.0
        found = _placed(local, frame)
        if isinstance(found, tuple):
            before[connection] = found.stream
            yield Recorded(at, found.stream, found.payload)
        elif found is False and connection in before:
            yield Recorded(at, before[connection], frame, sound=False)


def _placed(local: TapeExchange, frame: bytes) -> Placed | Literal[False] | None:
    """Where a frame belongs; None for no market data, False for no frame at all."""
    try:
        return local.placed(frame)
    except (KeyError, TypeError, AttributeError):
        return None
    except ValueError:
        return False


def _frames(files: Sequence[RecordedFile], window: Window) -> Iterator[tuple[int, object, bytes]]:
    """Receive time, connection and bytes of every frame; sessions that overlap are merged by time."""
    yield from heapq.merge(*(_of_session(files, name, window) for name in {f.session: None for f in files}), key=_time)


def _of_session(files: Sequence[RecordedFile], name: str, window: Window) -> Iterator[tuple[int, object, bytes]]:
    for file in (one for one in files if one.session == name):
        for batch in file.batches():
            for part in window.of(batch):
                for received_ns, frame in zip(part.received_ns, part.frames, strict=True):
                    yield received_ns, (name, part.connection), frame


def _time(row: tuple[int, object, bytes]) -> int:
    return row[0]


def _one_exchange(files: Sequence[RecordedFile]) -> str:
    names = sorted({file.exchange for file in files})
    if len(names) > 1:
        raise ConfigError(f"the recording holds frames of {', '.join(names)}: say which with --exchange NAME")
    return names[0]


def _local(name: str, settings: dict[str, Any]) -> TapeExchange:
    from k2core.testing import TapeExchange

    registry = current().registry
    made = local_exchange(registry, name, read_settings(registry, name, settings, ()))
    if not isinstance(made, TapeExchange):
        raise PluginError(f"the local exchange {name!r} plays no recordings: it is no k2core.testing.TapeExchange")
    return made
