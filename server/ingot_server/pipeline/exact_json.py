"""JSON whose numbers keep every digit: they are read as integers and Decimals, and written as they were."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

decode: Callable[[bytes], dict[str, Any]] = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode
"""The object that a text spells."""

encode: Callable[[Any], bytes] = msgspec.json.Encoder(decimal_format="number").encode
"""The text of a value."""
