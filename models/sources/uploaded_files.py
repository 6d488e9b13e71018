"""Files that people ingest by hand, for sources whose own rows come from elsewhere."""

from collections.abc import Mapping

import pyarrow as pa

from overnight.models.definition import Reading
from overnight.models.sources.row_formats import FileRows
from overnight.store.errors import BadFile


def read_uploaded(rows: FileRows, files: Mapping[str, bytes]) -> Reading:
    """The rows of all files in order of their names, and the files and lines rejected."""
    tables = [rows.declared.schema.empty_table()]
    rejected: list[BadFile] = []
    for file, body in sorted(files.items()):
        try:
            read, bad_lines = rows.read(file, body)
        except BadFile as error:
            rejected.append(error)
            continue
        tables.append(read)
        rejected += bad_lines
    return Reading(pa.concat_tables(tables), tuple(rejected))
