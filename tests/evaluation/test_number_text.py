"""Numbers in text: one minus sign, none before a zero, leading zeros, brackets of intervals."""

import pytest

from mpcl_jax.evaluation.number_text import count_of, decimal, interval, p_text


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


def test_intervals_p_values_and_counts():
    assert interval(0.0525, 0.0767) == "[0.0525, 0.0767]" and interval(float("nan"), 1.0) == "-"
    assert interval(-0.001, 0.002, sign=True) == "[\u22120.0010, +0.0020]"
    assert [p_text(x) for x in (0.0123, 0.0004, float("nan"))] == ["= 0.012", "< 0.001", "-"]
    assert [count_of(n, "trials") for n in (1, 2)] == ["1 trial", "2 trials"]
