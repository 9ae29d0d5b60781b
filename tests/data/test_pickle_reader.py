"""The pickle reader: equal to `pickle.loads` on data, and nothing else gets through."""

import math
import pathlib
import pickle
import runpy
import struct
import time

import numpy as np
import pytest

from mpcl_jax.data.io.pickle_reader import parse_pickle
from mpcl_jax.data.io.safe_read import Limits, run_guarded
from mpcl_jax.types import DataFileError

SHARED = pathlib.Path(__file__).resolve().parents[2].parent / "shared"
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
    with pytest.raises(DataFileError) as caught:
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
    more = [
        None,
        True,
        False,
        -1,
        255,
        256,
        70_000,
        -(2**40),
        2**200,
        1.5,
        "é",
        "",
        (),
        (1,),
    ]
    more += [
        (1, 2),
        (1, 2, 3),
        (1, 2, 3, 4),
        [],
        {},
        [[]],
        {"a": {1: {2.5: None}}},
        np.float32(3),
        np.int8(-3),
    ]
    label = rng.integers(0, 8, 700 * seconds).astype(np.int32)
    return {"signal": {"chest": chest, "wrist": wrist}, "label": label, "subject": "S2", "more": more}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reads_what_pickle_reads(tmp_path, protocol):
    content = pickle.dumps(wesad_like(np.random.default_rng(0)), protocol=protocol)
    assert_same(parsed(tmp_path, content), pickle.loads(content, encoding="latin1"))


def test_reads_python_2(tmp_path):
    ours = parsed(tmp_path, PYTHON2)
    assert_same(ours, {"label": np.array([[1.0, -2.0]]), "subject": "S2"})


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("dtype", [order + d for d in DTYPES for order in "<>"])
def test_reads_every_type_of_number(tmp_path, dtype, protocol):
    x = np.random.default_rng(0).integers(0, 100, (3, 4, 5)).astype(dtype)
    for y in (x, np.asfortranarray(x), x[:0], x[0, 0, 0], x[:1, 0, 0].reshape(()), x[::2, ::-1]):
        ours = parsed(tmp_path, pickle.dumps(y, protocol=protocol))
        np.testing.assert_array_equal(ours, y)
        assert ours.shape == y.shape and ours.dtype == y.dtype.newbyteorder("=") and ours.dtype.isnative


def test_reads_numbers_of_python_2(tmp_path):
    assert parsed(tmp_path, b"\x80\x02(I123456789012\nI-7\nI01\nI00\nt.") == (123456789012, -7, True, False)


def test_a_container_held_twice_is_copied(tmp_path):
    x = [1, 2]
    a, b = parsed(tmp_path, pickle.dumps([x, x]))
    assert a == b == [1, 2] and a is not b


def test_bytes_become_text_as_python_2_does_not_tell_them_apart(tmp_path):
    for protocol in (2, 4):
        assert parsed(tmp_path, pickle.dumps({b"a": b"\x00\xff"}, protocol=protocol)) == {"a": "\x00\xff"}


def test_reads_the_pickles_of_the_shared_writer(tmp_path):
    tool = SHARED / "tools" / "write_wesad.py"
    if not tool.exists():
        pytest.skip("needs ../shared/tools/write_wesad.py")
    writer = runpy.run_path(str(tool))["Py2Pickler"]
    data = wesad_like(np.random.default_rng(1))
    data["more"] = [x for x in data["more"] if not isinstance(x, np.generic) and x != "é"]
    with open(tmp_path / "x.pkl", "wb") as file:
        writer(file, protocol=2).dump(data)
    content = (tmp_path / "x.pkl").read_bytes()
    assert_same(parse_pickle(tmp_path / "x.pkl"), pickle.loads(content, encoding="latin1"))


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def call(module: str, name: str, *args: bytes) -> bytes:
    """Instructions that leave the result of module.name(*args) on the stack."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(args) + b"tR"


def by_stack(module: str, name: str, *args: bytes) -> bytes:
    return text(module) + text(name) + b"\x93(" + b"".join(args) + b"tR"


def hostile(canary: pathlib.Path) -> dict[str, bytes]:
    """Pickles that would create the file `canary` or reach code that could."""
    shell = text(f"touch {canary}")
    code = text(f"open({str(canary)!r}, 'w')")
    path = text(str(canary))
    os_system = call("builtins", "getattr", call("importlib", "import_module", text("os")), text("system"))
    object_array = call(
        "numpy.core.multiarray", "_reconstruct", b"cnumpy\nndarray\n", b"K\x00\x85", b"C\x01b"
    )
    object_type = call("numpy", "dtype", text("O8"), b"K\x00", b"K\x01")
    inner = b"\x80\x02" + call("os", "system", shell) + b"."
    programs = {
        "os.system": call("os", "system", shell),
        "posix.system": call("posix", "system", shell),
        "nt.system": call("nt", "system", shell),
        "subprocess.call": call("subprocess", "call", b"(" + text("touch") + path + b"t"),
        "subprocess.Popen": call("subprocess", "Popen", b"(" + text("touch") + path + b"t"),
        "builtins.eval": call("builtins", "eval", code),
        "__builtin__.eval": call("__builtin__", "eval", code),
        "builtins.exec": call("builtins", "exec", code),
        "builtins.open": call("builtins", "open", path, text("w")),
        "builtins.bytes with an argument": call("builtins", "bytes", b"J\xff\xff\xff\x7f"),
        "getattr chain": os_system + b"(" + shell + b"tR",
        "getattr of an allowed name": call("builtins", "getattr", b"cnumpy\nndarray\n", text("tofile")),
        "stack global": by_stack("os", "system", shell),
        "dotted stack global": by_stack("numpy", "os.system", shell),
        "dotted allowed name": by_stack("numpy", "dtype.__class__.__base__.__subclasses__"),
        "dotted allowed module": call("numpy.core.multiarray", "scalar.__self__"),
        "module of an allowed name": by_stack("numpy.core", "multiarray._reconstruct"),
        "global whose name is no text": b"]K\x01\x93(" + shell + b"tR",
        "global with a line feed": b"cnumpy\ndtype\rsystem\n(" + shell + b"tR",
        "similar letters": "cnumpу\ndtype\n".encode() + b"(" + shell + b"tR",
        "ext1": b"\x82\x01(" + shell + b"tR",
        "ext2": b"\x83\x01\x00(" + shell + b"tR",
        "ext4": b"\x84\x01\x00\x00\x00(" + shell + b"tR",
        "persid": b"Pos.system\n",
        "binpersid": shell + b"Q",
        "inst": b"(" + shell + b"ios\nsystem\n",
        "obj": b"(cos\nsystem\n" + shell + b"o",
        "newobj": b"cos\nsystem\n" + shell + b"\x85\x81",
        "newobj_ex": b"cos\nsystem\n" + shell + b"\x85}\x92",
        "newobj of an allowed name": b"cnumpy\nndarray\nK\x03\x85\x81",
        "build of a dict": b"}" + b"}" + text("__class__") + shell + b"sb",
        "build of an allowed name": b"cnumpy\nndarray\n}" + text("__reduce__") + shell + b"sb",
        "call of data": shell + b"(" + shell + b"tR",
        "nested pickle": call("pickle", "loads", b"B" + struct.pack("<I", len(inner)) + inner),
        "_pickle": call("_pickle", "loads", b"B" + struct.pack("<I", len(inner)) + inner),
        "importlib": call("importlib", "import_module", text("antigravity")),
        "__import__": call("builtins", "__import__", text("antigravity")),
        "runpy": call("runpy", "run_path", path),
        "shutil": call("shutil", "copy", text("/etc/passwd"), path),
        "marshal": call("marshal", "loads", b"C\x01N"),
        "ctypes": call("ctypes", "CDLL", text("libc.so.6")),
        "socket": call("socket", "create_connection", text("127.0.0.1"), b"K\x50"),
        "webbrowser": call("webbrowser", "open", text("http://localhost")),
        "timeit": call("timeit", "timeit", code),
        "codecs of another kind": call("_codecs", "encode", text("x"), text("rot13")),
        "_codecs.lookup": call("_codecs", "lookup", text("x")),
        "copyreg": call("copyreg", "_reconstructor", b"cos\nsystem\n", b"cbuiltins\nobject\n", b"N"),
        "functools.partial": call("functools", "partial", b"cos\nsystem\n", shell),
        "operator.methodcaller": call("operator", "methodcaller", text("system"), shell),
        "numpy.f2py": call("numpy.f2py.crackfortran", "getlincoef", code, b"}"),
        "numpy.testing": call("numpy.testing._private.utils", "runstring", code, b"}"),
        "numpy.fromfile": call("numpy", "fromfile", text("/etc/passwd")),
        "numpy.load": call("numpy", "load", path, b"N", b"\x88"),
        "object type": object_type,
        "object scalar": call(
            "numpy.core.multiarray", "scalar", object_type, b"C" + bytes([8]) + b"12345678"
        ),
        "object array": object_array + b"(K\x01K\x01\x85" + object_type + b"\x89](" + shell + b"etb",
        "subclass of array": call("numpy.core.multiarray", "_reconstruct", b"cnumpy\nmemmap\n", b"K\x00\x85"),
        "buffer out of band": b"\x97",
        "newer protocol": b"\x80\x06N",
    }
    return {name: b"\x80\x02" + program + b"." for name, program in programs.items()}


HOSTILE = sorted(hostile(pathlib.Path("x")))


def test_the_reason_names_what_was_asked_for(tmp_path):
    assert "'os.system'" in refusal(tmp_path, b"\x80\x02cos\nsystem\n.")
    program = call("numpy", "dtype", text("O8"), b"K\x00", b"K\x01")
    assert "'O8'" in refusal(tmp_path, b"\x80\x02" + program + b".")


def array_with(
    shape: bytes, content: bytes, code=b"f8", state=b"K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
):
    kind = b"cnumpy\ndtype\nU\x02" + code + b"K\x00K\x01\x87R(" + state + b"tb"
    head = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return head + b"(K\x01(" + shape + b"t" + kind + b"\x89" + content + b"tb."


def test_arrays_whose_sizes_disagree_are_refused(tmp_path):
    assert parsed(tmp_path, array_with(b"K\x01", b"U\x08" + bytes(8))).shape == (1,)
    for shape, content in (
        (b"K\x02", b"U\x08" + bytes(8)),  # more than there is
        (b"K\x00", b"U\x08" + bytes(8)),  # less
        (b"J\xff\xff\xff\xffJ\xff\xff\xff\xff", b"U\x08" + bytes(8)),  # (-1) * (-1) = 1
        (b"\x8a\x05\x00\x00\x00\x00\x10K\x00", b"U\x00"),  # 2**36 * 0
        (b"\x8a\x08" + b"\xff" * 7 + b"\x7fK\x00", b"U\x00"),  # 2**63 * 0 overflows NumPy's own check
        (b"K\x01" * 65, b"U\x08" + bytes(8)),  # more axes than NumPy has
        (b"\x88", b"U\x08" + bytes(8)),  # a truth value as a length
        (b"G" + struct.pack(">d", 1.0), b"U\x08" + bytes(8)),
        (b"K\x01", b"]"),
        (b"K\x01", b"N"),
    ):
        if shape.startswith(b"\x8a\x05"):
            assert parsed(tmp_path, array_with(shape, content)).shape == (2**36, 0)
        else:
            refusal(tmp_path, array_with(shape, content))


def test_types_with_anything_inside_are_refused(tmp_path):
    ends = b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
    for state in (
        b"K\x03U\x01<(K\x01tNN" + ends,  # subarray
        b"K\x03U\x01<N(U\x01at}" + ends,  # fields
        b"K\x03U\x01!NNN" + ends,  # unknown byte order
        b"K\x03U\x01<NNN" + ends + b"}U\x01aK\x01s",  # metadata
    ):
        assert "no plain data pickle" in refusal(
            tmp_path, array_with(b"K\x01", b"U\x08" + bytes(8), state=state)
        )


def broken_programs() -> list[bytes]:
    return [
        b"\x80\x04\x8e" + struct.pack("<Q", 10**12) + b"x",  # BINBYTES8
        b"\x80\x04\x8e" + b"\xff" * 8 + b"x",
        b"\x80\x02T" + struct.pack("<i", 2**31 - 1) + b"x",  # BINSTRING
        b"\x80\x02T" + struct.pack("<i", -1) + b"x",
        b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"x",  # BINUNICODE
        b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x",  # LONG4
        b"\x80\x02I" + b"9" * 10**6 + b"\n.",  # INT of a million digits
        b"\x80\x02" + b"]" * 10**5 + b"a" * (10**5 - 1) + b".",  # lists nested 100,000 deep
        b"\x80\x02)" + b"\x85" * 10**5 + b".",  # tuples nested 100,000 deep
        b"\x80\x02}" + b")" + b"\x85" * 10**5 + b"K\x01s.",  # the same as a key
        b"\x80\x02]q\x00h\x00a.",  # a list that holds itself
        b"\x80\x02}q\x00K\x01h\x00s.",  # a dict that holds itself
        b"\x80\x02(K\x01" + b"lq\x00"[1:] + b"h\x00e.",
        # 20 lists, each of which holds the one before it 100 times
        b"\x80\x02(]q\x00" + b"".join(b"](" + b"h\x00" * 100 + b"eq\x00" for _ in range(20)) + b"t.",
        b"\x80\x02r\xff\xff\xff\xff.",  # PUT of nothing
        b"\x80\x02j\xff\xff\xff\xff.",  # GET of nothing
        b"",
        b"\x80\x02(.",
        b"\x80\x02X\x02\x00\x00\x00\xff\xff.",
        b"cnumpy\n",
    ]


@pytest.mark.parametrize("content", broken_programs())
def test_bombs_and_broken_programs_end_soon_and_in_one_line(tmp_path, content):
    """In the child, as some of them end its process."""
    (tmp_path / "x.pkl").write_bytes(content)
    begin = time.monotonic()
    with pytest.raises(DataFileError) as caught:
        run_guarded(parse_pickle, tmp_path / "x.pkl", limits=Limits(memory_bytes=2**30, seconds=20.0))
    assert "\n" not in str(caught.value) and caught.value.file == str(tmp_path / "x.pkl")
    assert time.monotonic() - begin < 20


def test_missing_file(tmp_path):
    with pytest.raises(DataFileError, match="No such file"):
        parse_pickle(tmp_path / "none.pkl")


def test_numbers_that_are_not_finite(tmp_path):
    ours = parsed(tmp_path, pickle.dumps([math.inf, math.nan, np.array([math.nan])]))
    assert ours[0] == math.inf and math.isnan(ours[1]) and np.isnan(ours[2]).all()
