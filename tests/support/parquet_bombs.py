"""A Parquet file of some hundred bytes whose rows take gigabytes once they are read."""

import io

import pyarrow as pa
import pyarrow.parquet as pq


def parquet_bomb(rows: int, *, text_bytes: int) -> bytes:
    """One column of `rows` equal texts: a dictionary of one entry, and one run of its index."""
    texts = pa.DictionaryArray.from_arrays(
        pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array(["x" * text_bytes])
    )
    body = io.BytesIO()
    pq.write_table(
        pa.table({"x": texts}),
        body,
        compression="zstd",
        # All rows in one page, so that they are one run.
        write_batch_size=rows,
        data_page_size=1 << 30,
        store_schema=False,
        write_statistics=False,
    )
    return body.getvalue()
