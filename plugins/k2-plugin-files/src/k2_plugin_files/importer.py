"""`FileImporter`: settings to facts, normalizer and sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from k2_plugin_files.mapping import Plan
from k2_plugin_files.normalizer import FileNormalizer
from k2_plugin_files.settings import FilesSettings
from k2_plugin_files.source import FileSource
from k2core.plugin import ChannelFacts, ConnectorFacts, Context, Importer, ImportSource, Mark


class FileImporter(Importer):
    """Reads CSV and Parquet files of one layout.

    Raises:
        ConfigError: The settings do not fit the data type.
    """

    def __init__(self, settings: FilesSettings, context: Context) -> None:
        self._plan, self._clock = Plan(settings, context.data_types), context.clock
        facts = ChannelFacts(ids="opaque" if self._plan.makes_ids else settings.ids)
        self.facts = ConnectorFacts(
            exchange=settings.exchange, asset_class=settings.asset_class, channels={settings.data_type: facts}
        )
        self.normalizer = FileNormalizer(self._plan)

    def source(self, path: Path, marks: Sequence[Mark]) -> ImportSource:
        """A file's rows."""
        return FileSource(path, self._plan, marks, self._clock)
