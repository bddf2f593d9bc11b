"""What contacts have bought, with its items, packages and ticket bundles."""

from collections.abc import Iterable
from contextlib import suppress
from decimal import Context, Decimal, Inexact
from typing import Any

from ingot_server.domain.fields import Field, FieldType
from ingot_server.domain.records import ErrorCode, Fault
from ingot_server.pipeline.kinds.contact_reference import CONTACT_FIELDS, CONTACT_NAMES, contact_of
from ingot_server.pipeline.kinds.kind import Kind, Name, Record, Reference

# Exact or not at all: for numbers of very different exponents there is no total.
_EXACT = Context(prec=100, traps=[Inexact])


def _check(order: Record) -> Iterable[Fault]:
    packages = {package.get("id") for package in order.get("packages") or ()}
    for number, item in enumerate(order.get("items") or ()):
        package = item.get("package_id")
        if package is not None and package not in packages:
            message = f"No package found: the order has none with the id {package!r} among its `packages`."
            yield Fault(ErrorCode.PACKAGE_NOT_FOUND, message, f"items[{number}].package_id")


def _references(order: Record) -> Iterable[Reference]:
    yield from contact_of(order)
    own = {bundle.get("id") for bundle in order.get("ticket_bundles") or ()}
    for number, item in enumerate(order.get("items") or ()):
        bundle = item.get("ticket_bundle_id")
        if bundle is not None and bundle not in own:
            name = Name("", bundle, f"items[{number}].ticket_bundle_id")
            yield Reference("TICKET_BUNDLES", (name,), ErrorCode.TICKET_BUNDLE_NOT_FOUND)


def _derive(order: Record) -> dict[str, Any]:
    items = order.get("items")
    if order.get("total") is not None or not items or any(item.get("price") is None for item in items):
        return {}
    total = Decimal(order.get("shipping") or 0)
    with suppress(Inexact):
        for item in items:
            quantity = item.get("quantity")
            price = _EXACT.multiply(Decimal(item["price"]), Decimal(1 if quantity is None else quantity))
            total = _EXACT.add(total, price)
        return {"total": _EXACT.subtract(total, Decimal(order.get("discount") or 0))}
    return {}


KIND = Kind(
    name="ORDERS",
    description=(
        "What contacts have bought. An order is identified by its `id`, and must name a contact that exists, by "
        "`contact_id`, `email` or `phone`. Its items may name packages of the same order, and ticket bundles of "
        "the same order or of a table of the kind TICKET_BUNDLES. Derived are `contact` and `contact_table`, the "
        "contact's key and table, and `total` if it is missing and every item has a price: the sum of price times "
        "quantity (1 if missing), plus `shipping`, minus `discount`."
    ),
    identity=("id",),
    refers_to=("CONTACTS", "TICKET_BUNDLES"),
    needs_one_of=CONTACT_NAMES,
    references=_references,
    check=_check,
    derive=_derive,
    fields=(
        Field("id", FieldType.IDENTIFIER, "The order's number.", required=True, aliases=("order_id",)),
        *CONTACT_FIELDS,
        Field("time", FieldType.TIMESTAMP, "When it was placed.", aliases=("timestamp", "ordered_at", "created_at")),
        Field("status", FieldType.TEXT, "Where it stands, in the sender's words."),
        Field("currency", FieldType.CURRENCY, "The currency of all amounts, as ISO 4217."),
        Field("total", FieldType.NUMBER, "What is to be paid.", aliases=("total_amount", "total_price")),
        Field("shipping", FieldType.NUMBER, "The part of the total for shipping."),
        Field("discount", FieldType.NUMBER, "What was taken off the total."),
        Field("tax", FieldType.NUMBER, "The part of the total that is tax."),
        Field(
            "items",
            FieldType.OBJECT,
            "What was bought.",
            many=True,
            fields=(
                Field("product_id", FieldType.IDENTIFIER, "The id of the product.", aliases=("id",)),
                Field("sku", FieldType.IDENTIFIER, "The number of the article."),
                Field("name", FieldType.TEXT, "The name of the product."),
                Field("quantity", FieldType.NUMBER, "How many; 1 if missing."),
                Field("price", FieldType.NUMBER, "The price of one."),
                Field("package_id", FieldType.IDENTIFIER, "The id of one of the order's packages."),
                Field("ticket_bundle_id", FieldType.IDENTIFIER, "The id of a ticket bundle."),
            ),
        ),
        Field(
            "packages",
            FieldType.OBJECT,
            "What several items are sold as.",
            many=True,
            fields=(
                Field("id", FieldType.IDENTIFIER, "The id by which items name it.", required=True),
                Field("name", FieldType.TEXT, "Its name."),
            ),
        ),
        Field(
            "ticket_bundles",
            FieldType.OBJECT,
            "Ticket bundles that only this order knows.",
            many=True,
            fields=(
                Field("id", FieldType.IDENTIFIER, "The id by which items name it.", required=True),
                Field("name", FieldType.TEXT, "Its name."),
            ),
        ),
    ),
)
