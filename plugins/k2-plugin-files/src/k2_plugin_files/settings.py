"""Settings of the importer `files`: how a layout is read, and which of its columns is what."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import Field, field_validator

from k2core.plugin import Settings


class TimeSettings(Settings):
    """Where the event time stands, and how it is written."""

    columns: tuple[str, ...] = Field((), description="The columns that hold it, joined with one space: Date, Time.")
    format: str = Field(
        "iso", description="iso, or s, ms, us, ns since 1970, or a strptime pattern: %d/%m/%Y %H:%M:%S.%f"
    )
    zone: str = Field("UTC", description="IANA zone of times that name none, as Australia/Sydney.")
    ambiguous: Literal["refuse", "earlier", "later"] = Field(
        "refuse", description="Local times that were twice, or never, when clocks changed."
    )


class ColumnSettings(Settings):
    """One column of the record, where its bare name in the file is not enough."""

    column: str = Field(description="Its name in the file.")
    scale: Decimal = Field(Decimal(1), description="A power of ten that numbers are multiplied by: 0.01 for cents.")
    values: dict[str, str] = Field(
        {}, description='What words mean here, as {B = "buy", S = "sell"}; others are refused.'
    )
    missing: str | None = Field(
        None, description="What an empty field means; none: null, or refused where it is needed."
    )

    @field_validator("scale", mode="before")
    @classmethod
    def _as_printed(cls, value: object) -> object:
        return repr(value) if isinstance(value, float) else value

    @field_validator("scale")
    @classmethod
    def _power_of_ten(cls, value: Decimal) -> Decimal:
        if value <= 0 or value.normalize().as_tuple().digits != (1,):
            raise ValueError("must be a power of ten, as 0.01: others cannot be exact")
        return value


class FilesSettings(Settings):
    """`[imports.NAME]` with `use = "files"`."""

    exchange: str = Field(description="The market the rows are of, lower case, as asx.", pattern=r"[a-z0-9][a-z0-9.-]*")
    asset_class: str = Field(description="Second part of the topic's name, as equities.", pattern="[a-z0-9][a-z0-9-]*")
    data_type: str = Field(description="What a row is, as trades, quotes or ticks.")
    columns: dict[str, str | ColumnSettings] = Field(
        description="Record column → column of the file, or a table with column, scale, values, missing."
    )
    constants: dict[str, str] = Field(
        {}, description='Record columns that are the same in all rows, as {side = "buy"}.'
    )
    time: TimeSettings = Field(default_factory=lambda: TimeSettings.model_validate({}))
    ids: Literal["opaque", "increasing", "contiguous"] = Field(
        "opaque", description="What holds of the ids, where `columns` names the id column."
    )
    format: Literal["", "csv", "parquet"] = Field("", description="By the file's suffix where empty.")
    delimiter: str = Field(",", min_length=1, max_length=1, description="Between the fields of a CSV file.")
    quote: str = Field(
        '"', max_length=1, description="Around fields of a CSV file that hold the delimiter; may be empty."
    )
    names: tuple[str, ...] = Field((), description="Columns of a CSV file without a first line that names them.")
    encoding: str = Field("utf-8", description="Of a CSV file, as latin-1.")
    batch_rows: int = Field(8192, ge=1, le=1_000_000, description="Rows of a Parquet file that are read at once.")
    block_bytes: int = Field(
        1 << 20, ge=1024, description="Bytes of a CSV file that are read at once; no row is longer."
    )
