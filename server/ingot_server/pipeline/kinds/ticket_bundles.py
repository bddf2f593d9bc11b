"""Tickets that are sold together, and to which the items of orders refer."""

from ingot_server.domain.fields import Field, FieldType
from ingot_server.pipeline.kinds.kind import Kind

KIND = Kind(
    name="TICKET_BUNDLES",
    description="Tickets that are sold together. A bundle is identified by its `id`, by which items of orders name it.",
    identity=("id",),
    fields=(
        Field("id", FieldType.IDENTIFIER, "Its number.", required=True, aliases=("ticket_bundle_id",)),
        Field("name", FieldType.TEXT, "Its name."),
        Field("event", FieldType.TEXT, "What the tickets are for."),
        Field("starts_at", FieldType.TIMESTAMP, "When that begins."),
        Field("venue", FieldType.TEXT, "Where that is."),
        Field("price", FieldType.NUMBER, "The price of the bundle."),
        Field("currency", FieldType.CURRENCY, "The currency of all prices, as ISO 4217."),
        Field(
            "tickets",
            FieldType.OBJECT,
            "What is in it.",
            many=True,
            fields=(
                Field("id", FieldType.IDENTIFIER, "The number of the ticket."),
                Field("name", FieldType.TEXT, "What the ticket is."),
                Field("quantity", FieldType.NUMBER, "How many; 1 if missing."),
                Field("price", FieldType.NUMBER, "The price of one."),
            ),
        ),
    ),
)
