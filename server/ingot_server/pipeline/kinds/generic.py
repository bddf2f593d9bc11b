"""Records about which nothing is known but their key."""

from ingot_server.domain.tables import GENERIC
from ingot_server.pipeline.kinds.kind import Kind

KIND = Kind(
    name=GENERIC,
    description=(
        "Any records. They have no fields but those that the table declares, and are identified by the key fields "
        "that the table, the import or each record names. Nothing is derived."
    ),
)
