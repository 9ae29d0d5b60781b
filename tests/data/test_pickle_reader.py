"""The pickle reader: equal to `pickle.loads` on data, and nothing else gets through."""

import math
import pickle
import struct

import numpy as np
import pytest
from hostile_pickles import call, text

from mpcl_jax.data.io.pickle_reader import parse_pickle
from mpcl_jax.types import DataError

DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")

# What Python 2.7 with NumPy 1.13 writes for {'label': np.array([[1., -2.]]), 'subject': 'S2'}, protocol 2:
# text as SHORT_BINSTRING "U", the array as _reconstruct + BUILD, its 16 bytes as SHORT_BINSTRING too.
PYTHON2 = (
    b"\x80\x02}q\x01(U\x05labelq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05"
    b"U\x01bq\x06\x87q\x07Rq\x08(K\x01K\x01K\x02\x86q\tcnumpy\ndtype\nq\nU\x02f8q\x0bK\x00K\x01\x87q\x0cRq\r"
    b"(K\x03U\x01<q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89U\x10"
    + struct.pack("<dd", 1.0, -2.0)
    + b"q\x10tq\x11bU\x07subjectq\x12U\x02S2q\x13u."
)


def parsed(tmp_path, content: bytes):
    path = tmp_path / "x.pkl"
    path.write_bytes(content)
    return parse_pickle(path)


def refusal(tmp_path, content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        parsed(tmp_path, content)
    assert caught.value.file == str(tmp_path / "x.pkl")
    return caught.value.reason


def assert_same(ours, wanted):
    """Equal values, types, dtypes and shapes, however nested."""
    assert type(ours) is type(wanted)
    if isinstance(wanted, dict):
        assert list(ours) == list(wanted)
        for key in wanted:
            assert_same(ours[key], wanted[key])
    elif isinstance(wanted, list | tuple):
        assert len(ours) == len(wanted)
        for x, y in zip(ours, wanted, strict=True):
            assert_same(x, y)
    elif isinstance(wanted, np.ndarray | np.generic):
        assert ours.dtype == wanted.dtype and ours.shape == wanted.shape
        np.testing.assert_array_equal(ours, wanted)
    else:
        assert ours == wanted


def wesad_like(rng, seconds=2):
    """The nesting, types and rates of a WESAD pickle, plus kinds of values that its users add."""
    wrist = {"ACC": rng.normal(size=(32 * seconds, 3)), "EDA": rng.normal(size=(4 * seconds, 1))}
    chest = {"Temp": rng.normal(size=(700 * seconds, 1)).astype("f4"), "ACC": np.asfortranarray(wrist["ACC"])}
    more = [None, True, False, -1, 255, 256, 70_000, -(2**40), 2**200, 1.5, "é", ""]
    more += [(), (1,), (1, 2), (1, 2, 3)]
    more += [(1, 2, 3, 4), [], {}, [[]], {"a": {1: {2.5: None}}}, np.float32(3), np.int8(-3)]
    label = rng.integers(0, 8, 700 * seconds).astype(np.int32)
    return {"signal": {"chest": chest, "wrist": wrist}, "label": label, "subject": "S2", "more": more}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_what_pickle_reads(tmp_path, protocol):
    content = pickle.dumps(wesad_like(np.random.default_rng(0)), protocol=protocol)
    assert_same(parsed(tmp_path, content), pickle.loads(content, encoding="latin1"))


def test_reads_python_2(tmp_path):
    ours = parsed(tmp_path, PYTHON2)
    assert_same(ours, {"label": np.array([[1.0, -2.0]]), "subject": "S2"})


@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_every_type_of_number(tmp_path, dtype):
    for order, protocol in ((">", 2), ("<", 4), ("<", 5)):
        x = np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(order + dtype)
        for y in (x, np.asfortranarray(x), x[:0], x[0, 0, 0], x[:1, 0, 0].reshape(()), x[::2, ::-1]):
            ours = parsed(tmp_path, pickle.dumps(y, protocol=protocol))
            np.testing.assert_array_equal(ours, y)
            assert ours.shape == y.shape and ours.dtype == y.dtype.newbyteorder("=") and ours.dtype.isnative


def test_reads_numbers_that_are_not_finite_those_of_python_2_and_bytes_as_text(tmp_path):
    ours = parsed(tmp_path, pickle.dumps([math.inf, math.nan, np.array([math.nan])]))
    assert ours[0] == math.inf and math.isnan(ours[1]) and np.isnan(ours[2]).all()
    assert parsed(tmp_path, b"\x80\x02(I123456789012\nI-7\nI01\nI00\nt.") == (123456789012, -7, True, False)
    for protocol in (2, 4):
        assert parsed(tmp_path, pickle.dumps({b"a": b"\x00\xff"}, protocol=protocol)) == {"a": "\x00\xff"}


def test_the_reason_names_what_was_asked_for(tmp_path):
    assert "'os.system'" in refusal(tmp_path, b"\x80\x02cos\nsystem\n.")
    program = call("numpy", "dtype", text("O8"), b"K\x00", b"K\x01")
    assert "'O8'" in refusal(tmp_path, b"\x80\x02" + program + b".")
