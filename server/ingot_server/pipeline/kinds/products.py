"""What is for sale."""

from ingot_server.domain.fields import Field, FieldType
from ingot_server.pipeline.kinds.kind import Kind

KIND = Kind(
    name="PRODUCTS",
    description="What is for sale. A product is identified by its `id`, unless the table names other key fields.",
    key_fields=("id",),
    fields=(
        Field("id", FieldType.IDENTIFIER, "The sender's own id of the product."),
        Field("name", FieldType.TEXT, "Its name.", aliases=("title",)),
        Field("description", FieldType.TEXT, "What it is."),
        Field("url", FieldType.URL, "Its page.", aliases=("link",)),
        Field("image_url", FieldType.URL, "Its picture.", aliases=("image", "image_link")),
        Field("sku", FieldType.IDENTIFIER, "The number of the article."),
        Field("gtin", FieldType.IDENTIFIER, "The global trade item number.", aliases=("ean",)),
        Field("brand", FieldType.TEXT, "Its brand."),
        Field("categories", FieldType.TEXT, "What it belongs to.", many=True, aliases=("category",)),
        Field("price", FieldType.NUMBER, "Its price."),
        Field("sale_price", FieldType.NUMBER, "Its price while it is on sale."),
        Field("currency", FieldType.CURRENCY, "The currency of the prices, as ISO 4217."),
        Field("in_stock", FieldType.BOOLEAN, "Whether it can be had.", aliases=("available",)),
        Field("quantity", FieldType.NUMBER, "How many there are.", aliases=("stock",)),
        Field("created_at", FieldType.TIMESTAMP, "When it was first offered."),
        Field("updated_at", FieldType.TIMESTAMP, "When it was last changed."),
    ),
)
