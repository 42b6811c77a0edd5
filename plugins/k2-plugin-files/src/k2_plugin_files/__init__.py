"""CSV and Parquet files for `k2 import`: what this plugin offers. Light on purpose; pyarrow comes with the factory."""

from __future__ import annotations

from collections.abc import Iterable

from k2_plugin_files.settings import FilesSettings
from k2core.plugin import Component, Context, Importer, hookimpl


def _files(settings: FilesSettings, context: Context) -> Importer:
    from k2_plugin_files.importer import FileImporter

    return FileImporter(settings, context)


@hookimpl
def k2_importers() -> Iterable[Component[Importer]]:
    """The importer `files`."""
    return [
        Component(
            name="files",
            summary="CSV and Parquet files, columns mapped by settings",
            settings=FilesSettings,
            factory=_files,
        )
    ]
