"""How numbers stand in text: one minus sign, and none before a zero."""

import pytest

from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.evaluate.table_text import short


@pytest.mark.parametrize(
    "value, digits, sign, text",
    [
        (0.00471, 4, False, "0.0047"),
        (-0.0095, 4, False, "\u22120.0095"),
        (0.5, 2, True, "+0.50"),
        (-0.00001, 4, True, "0.0000"),
        (-12.3456, 1, False, "\u221212.3"),
        (float("nan"), 4, True, "-"),
    ],
)
def test_a_number_is_written_with_its_sign(value, digits, sign, text):
    assert decimal(value, digits, sign) == text


def test_tables_leave_out_the_leading_zero_only():
    found = [short(x) for x in (0.0047, -0.0047, 1.215, -10.5, 0.99999)]
    assert found == [".0047", "\u2212.0047", "1.2150", "\u221210.5000", "1.0000"]
