"""`chunks`: a CSV or Parquet file as batches of texts, row by row accounted for, in bounded memory.

Every column is read as text, so that numbers are judged as they were printed. Survived: rows with too few or too many
fields (kept in their place as `broken`), bytes that are no UTF-8, compressed files (by suffix). A file that cannot be
read on (an unterminated quote, a damaged page) ends with an error that names it and the last row that was read.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from k2_plugin_files.numerals import chosen, whole_numbers
from k2_plugin_files.settings import FilesSettings
from k2core.plugin import ConfigError, ConnectorError

COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
"""Suffix → codec."""
_MOST_NAMES, _MOST_CHARACTERS = 50, 60


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a file.

    Args:
        rows: The wanted columns as texts, null where a field is empty or the row is broken.
        first: Number of the first row; the first of the file is 1.
        broken: By index, the reason and what is wrong with rows that have no fields.
        texts: By index, broken rows as they stand in the file.
        read: Bytes (CSV) or rows (Parquet) of the file that were read so far.
    """

    rows: pa.RecordBatch
    first: int
    broken: dict[int, tuple[str, str]] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    read: int = 0


def format_of(path: Path, settings: FilesSettings) -> str:
    """`csv` or `parquet`.

    Raises:
        ConfigError: The suffix does not tell, and no setting does.
    """
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in COMPRESSED]
    last = suffixes[-1] if suffixes else ""
    found = settings.format or {
        ".csv": "csv",
        ".tsv": "csv",
        ".txt": "csv",
        ".parquet": "parquet",
        ".pq": "parquet",
    }.get(last)
    if not found:
        raise ConfigError(f'{path}: what is in it? Its suffix does not tell: set format = "csv" or "parquet"')
    return found


def chunks(path: Path, settings: FilesSettings, wanted: Sequence[str], whole: Collection[str] = ()) -> Iterator[Chunk]:
    """The wanted columns of a file, in order.

    Args:
        path: The file.
        settings: How it is read.
        wanted: Names of columns.
        whole: Those whose doubles have to be whole numbers.

    Raises:
        ConfigError: The file is missing, or lacks columns.
        ConnectorError: It cannot be read, or not to its end.
    """
    row = 0
    try:
        csv = format_of(path, settings) == "csv"
        for chunk in _csv(path, settings, wanted) if csv else _parquet(path, settings, wanted, whole):
            row = chunk.first + chunk.rows.num_rows - 1
            yield chunk
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise ConnectorError(
            f"{path}: cannot be read behind row {row}: {_shown(str(error), 300)}; what was read is in the log, "
            "nothing behind it: mend the file (or settings such as block_bytes) and import it again"
        ) from error


def require(path: Path, there: Sequence[str], wanted: Sequence[str]) -> None:
    """Whether a file has the wanted columns.

    Raises:
        ConfigError: It lacks some.
    """
    if missing := [name for name in wanted if name not in there]:
        more = f", and {len(there) - _MOST_NAMES} more" if len(there) > _MOST_NAMES else ""
        said = ", ".join(_shown(name, _MOST_CHARACTERS) for name in there[:_MOST_NAMES]) or "none"
        raise ConfigError(f"{path}: there is no column {', '.join(map(repr, missing))}; there are: {said}{more}")
    if twice := [name for name in wanted if list(there).count(name) > 1]:
        raise ConfigError(f"{path}: column {twice[0]!r} is there twice; rename one, or give `names` for all")


def _shown(text: str, most: int) -> str:
    """A piece of a file, which may hold anything, for a message: one line, printable, cut."""
    line = " ".join(text.split())
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line[:most])
    return safe + ("…" if len(line) > most else "")


def _csv(path: Path, settings: FilesSettings, wanted: Sequence[str]) -> Iterator[Chunk]:
    import pyarrow.csv as csv

    invalid: list[Any] = []
    delimiter = _delimiter(path, settings)
    options = csv.ReadOptions(
        use_threads=False, block_size=settings.block_bytes, column_names=list(settings.names) or None,
        encoding=settings.encoding,
    )  # fmt: skip
    parse = csv.ParseOptions(
        delimiter=delimiter, quote_char=settings.quote or False, newlines_in_values=bool(settings.quote),
        invalid_row_handler=lambda row: "skip" if invalid.append(row) is None else "error",  # type: ignore[func-returns-value]
    )  # fmt: skip
    with path.open("rb") as raw, _plain_bytes(path, raw) as stream:
        names = list(settings.names) or _header(path, settings, delimiter)
        require(path, names, wanted)
        binary = {name: pa.binary() for name in names}
        convert = csv.ConvertOptions(column_types=binary, check_utf8=False, strings_can_be_null=False)
        header, number = 0 if settings.names else 1, 1
        try:
            reader = csv.open_csv(stream, options, parse, convert)
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return
            raise
        for batch in reader:
            chunk = _whole(batch.select(list(wanted)), number, [(r.number - header, r) for r in invalid])
            invalid[:] = [r for r in invalid if r.number - header >= number + chunk.rows.num_rows]
            number += chunk.rows.num_rows
            yield Chunk(chunk.rows, chunk.first, chunk.broken, chunk.texts, raw.tell())
        if invalid:
            nothing = pa.RecordBatch.from_pylist([], pa.schema([pa.field(n, pa.binary()) for n in wanted]))
            yield _whole(nothing, number, [(r.number - header, r) for r in invalid])


def _delimiter(path: Path, settings: FilesSettings) -> str:
    return "\t" if settings.delimiter == "," and ".tsv" in path.suffixes else settings.delimiter


def _plain_bytes(path: Path, raw: Any) -> Any:
    """The file's bytes, unpacked where its suffix says that they are packed."""
    codec: Any = COMPRESSED.get(path.suffix.lower())
    return pa.input_stream(raw, compression=codec)


def _header(path: Path, settings: FilesSettings, delimiter: str) -> list[str]:
    """The names in the first line."""
    import csv

    with path.open("rb") as raw, _plain_bytes(path, raw) as stream:
        start = stream.read(settings.block_bytes).decode(settings.encoding, "replace").lstrip("\ufeff\r\n")
    reading: dict[str, Any] = {"quotechar": settings.quote} if settings.quote else {"quoting": csv.QUOTE_NONE}
    return next(csv.reader(io.StringIO(start), delimiter=delimiter, **reading), [])


def _whole(batch: pa.RecordBatch, first: int, invalid: Sequence[tuple[int, Any]]) -> Chunk:
    """Good rows and broken ones, each in its place."""
    at: list[int | None] = list(range(batch.num_rows))
    broken, texts = {}, {}
    for number, row in sorted(invalid, key=lambda pair: pair[0]):
        index = number - first
        if index > len(at):
            break
        at.insert(index, None)
        broken[index] = ("wrong-fields", f"the row has {row.actual_columns} fields, not {row.expected_columns}")
        texts[index] = row.text
    if broken:
        batch = batch.take(pa.array(at, pa.int64()))
    return Chunk(_texts(batch, broken), first, broken, texts)


def _texts(batch: pa.RecordBatch, broken: dict[int, tuple[str, str]]) -> pa.RecordBatch:
    """Binary columns as trimmed texts; a row with bytes that are no UTF-8 is broken."""
    columns = []
    for name in batch.schema.names:
        column: Any = batch.column(name)
        try:
            texts: Any = column.cast(pa.string())
        except pa.ArrowInvalid:
            texts = pa.array([_decoded(v, i, name, broken) for i, v in enumerate(column.to_pylist())], pa.string())
        columns.append(_trimmed(texts))
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _decoded(value: bytes | None, index: int, name: str, broken: dict[int, tuple[str, str]]) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError as error:
        broken.setdefault(index, ("bad-encoding", f"column {name}: {error.reason} at byte {error.start}; set encoding"))
        return value.decode("utf-8", "replace") if value is not None else None


def _parquet(path: Path, settings: FilesSettings, wanted: Sequence[str], whole: Collection[str]) -> Iterator[Chunk]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        require(path, file.schema_arrow.names, wanted)
        first = 1
        for batch in file.iter_batches(settings.batch_rows, columns=list(dict.fromkeys(wanted)), use_threads=False):
            broken: dict[int, tuple[str, str]] = {}
            columns = [_plain(batch.column(name), name if name in whole else "", broken) for name in wanted]
            rows = pa.RecordBatch.from_arrays(columns, names=list(wanted))
            yield Chunk(rows, first, broken, read=first + batch.num_rows - 1)
            first += batch.num_rows


def _plain(column: Any, whole: str, broken: dict[int, tuple[str, str]]) -> Any:
    """A column as texts: numbers as the shortest text that means them, times in ISO 8601.

    Args:
        column: As it stands in the file.
        whole: Its name, where doubles have to be whole numbers.
        broken: Gets the rows whose doubles are none.
    """
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = column.cast(pa.binary()).cast(pa.string())
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return _trimmed(column.cast(pa.string()))
    if whole and pa.types.is_floating(column.type):
        return whole_numbers(column, whole, broken)
    return column.cast(pa.string())


def _trimmed(texts: Any) -> Any:
    """Texts without blanks around them; nothing at all is null."""
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(texts)
    return chosen(pc.equal(texts, pa.scalar("")), pa.scalar(None, pa.string()), texts)
