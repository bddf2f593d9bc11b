"""Tells whether a source can be what a batch was begun with: as far as sizes tell, before anything is sent.

The server compares what it gets again byte by byte; here it is about what would never be sent.
"""

from ingot_client._sources import Source
from ingot_client._views import Batch


def difference(batch: Batch, source: Source) -> str | None:
    """Why the source cannot be the batch's, or None if it may be."""
    unit = source.unit.lower()
    if batch.unit not in {source.unit, "UNSPECIFIED"}:
        return f"it was begun with {batch.unit.lower()}, and these are {unit}"
    if batch.total is not None and source.total is not None and batch.total != source.total:
        return f"it holds {batch.total:,} {unit}, and here are {source.total:,}"
    return None
