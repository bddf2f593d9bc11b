"""Offers, past, present and to come."""

from ingot_server.domain.fields import Field, FieldType
from ingot_server.pipeline.kinds.kind import Kind
from ingot_server.pipeline.kinds.periods import ends_after_start

KIND = Kind(
    name="PROMOTIONS",
    description=(
        "Offers, past, present and to come: a promotion that is over is as good as any. It is identified by its `id`."
    ),
    identity=("id",),
    check=ends_after_start("starts_at", "ends_at"),
    fields=(
        Field("id", FieldType.IDENTIFIER, "Its number.", required=True, aliases=("promotion_id",)),
        Field("name", FieldType.TEXT, "Its name.", required=True, aliases=("title",)),
        Field("description", FieldType.TEXT, "What is offered."),
        Field("code", FieldType.IDENTIFIER, "What has to be said to get it."),
        Field("type", FieldType.TEXT, "What the discount is, in the sender's words."),
        Field("discount", FieldType.NUMBER, "What is taken off: an amount, or a percentage.", aliases=("value",)),
        Field("currency", FieldType.CURRENCY, "The currency of an amount, as ISO 4217."),
        Field("starts_at", FieldType.TIMESTAMP, "When it begins.", aliases=("start", "start_date", "valid_from")),
        Field("ends_at", FieldType.TIMESTAMP, "When it ends.", aliases=("end", "end_date", "valid_until")),
        Field("product_ids", FieldType.IDENTIFIER, "The products it is for.", many=True, aliases=("products",)),
    ),
)
