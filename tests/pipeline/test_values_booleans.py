from decimal import Decimal

import pytest

from ingot_server.domain.fields import FieldType, Reading
from ingot_server.pipeline.values import Unreadable, reader

read = reader(FieldType.BOOLEAN, Reading())


@pytest.mark.parametrize(
    ("value", "boolean"),
    [
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        (" TRUE\n", True),
        ("\u00a0false", False),
    ],
)
def test_true_and_false_are_read_in_any_case(value: object, boolean: bool) -> None:
    assert read(value) is boolean


@pytest.mark.parametrize(
    "value",
    [1, 0, Decimal(1), "1", "0", "yes", "no", "t", "f", "on", "ja", "truе", "falſe", "true false", " ", [], [True], {}],
)
def test_nothing_else_stands_for_true_or_false(value: object) -> None:
    with pytest.raises(Unreadable, match="expected true or false, got "):
        read(value)
