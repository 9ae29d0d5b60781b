"""The MATLAB 5 reader: equal to `scipy.io.loadmat` on numbers and text, and no claim is believed."""

import io
import pathlib
import struct
import time
import zlib

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from mutate import mutated

from mpcl_jax.data.io import mat_reader
from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.types import DataFileError

ONE_TWO = struct.pack("<dd", 1, 2)
SHARED = pathlib.Path(__file__).resolve().parents[2].parent / "shared"


def saved(data: dict, packed: bool) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, data, do_compression=packed)
    return buffer.getvalue()


def parsed(tmp_path, content: bytes, names=None):
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    return parse_mat(path, names)


def refusal(tmp_path, content: bytes, names=None) -> str:
    with pytest.raises(DataFileError) as caught:
        parsed(tmp_path, content, names)
    assert caught.value.file == str(tmp_path / "x.mat")
    return caught.value.reason


def numbers():
    rng = np.random.default_rng(0)
    kinds = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    data = {f"x_{kind}": rng.integers(0, 100, (3, 4)).astype(kind) for kind in kinds}
    data |= {"cube": rng.normal(size=(4, 3, 2)), "empty": np.zeros((0, 0)), "none": np.zeros((3, 0), "i2")}
    data |= {"z": rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3)), "yes": np.array([[True, False]])}
    return data | {
        "z4": np.array([[1 + 2j]], "c8"),
        "text": "hello",
        "rows": np.array(["ab", "cd"]),
        "scalar": 3.5,
    }


def assert_same(ours: dict, wanted: dict):
    assert set(ours) == {key for key in wanted if not key.startswith("__")}
    for key, x in ours.items():
        assert x.dtype == wanted[key].dtype and x.shape == wanted[key].shape, key
        np.testing.assert_array_equal(x, wanted[key], err_msg=key)


@pytest.mark.parametrize("packed", [True, False])
def test_reads_what_scipy_reads(tmp_path, packed):
    content = saved(numbers(), packed)
    # mat_dtype gives SciPy the types of MATLAB; it drops the imaginary part, hence the two readings.
    wanted = scipy.io.loadmat(
        io.BytesIO(content), mat_dtype=True, variable_names=set(numbers()) - {"z", "z4"}
    )
    wanted |= scipy.io.loadmat(io.BytesIO(content), variable_names=("z", "z4"))
    assert_same(parsed(tmp_path, content), wanted)


@pytest.mark.parametrize("name", ["dmer_feature_sample.mat", "ldl_sjaffe.mat"])
def test_reads_real_files(name):
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"needs ../shared/data/{name}")
    assert_same(parse_mat(path), scipy.io.loadmat(path, mat_dtype=True))


def head(order="<", version=0x0100) -> bytes:
    return (
        b"MATLAB 5.0 MAT-file".ljust(124)
        + struct.pack(order + "H", version)
        + {"<": b"IM", ">": b"MI"}[order]
    )


def part(kind: int, values: bytes, order="<", size=None) -> bytes:
    tag = struct.pack(order + "II", kind, len(values) if size is None else size)
    return tag + values + bytes(-len(values) % 8)


def matrix(name=b"x", kind=6, shape=(1, 2), storage=9, values=ONE_TWO, flags=0, order="<"):
    body = part(6, struct.pack(order + "II", kind | flags, 0), order)
    body += part(5, struct.pack(f"{order}{len(shape)}i", *shape), order) + part(1, name, order)
    return part(14, body + part(storage, values, order), order)


def element(kind: int, values: bytes, order="<") -> bytes:
    """Without padding, as packed variables are."""
    return struct.pack(order + "II", kind, len(values)) + values


def packed(variable: bytes, order="<") -> bytes:
    return element(15, zlib.compress(variable), order)


def test_numbers_in_fewer_bytes_become_the_type_of_the_class(tmp_path):
    """MATLAB stores the double matrix [1 2] as two bytes; `x` is float64 all the same."""
    x = parsed(tmp_path, head() + matrix(storage=2, values=b"\x01\x02"))["x"]
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x, [[1.0, 2.0]])


def test_values_inside_their_tag(tmp_path):
    """Four bytes or fewer share the tag: type in the low half, size in the high half of the first word."""
    small = struct.pack("<HH", 2, 2) + b"\x01\x02\0\0"
    body = matrix()[8:-24] + small
    x = parsed(tmp_path, head() + part(14, body))["x"]
    np.testing.assert_array_equal(x, [[1.0, 2.0]])


def test_big_endian(tmp_path):
    content = head(">") + packed(matrix(values=struct.pack(">dd", 1, 2), order=">"), ">")
    np.testing.assert_array_equal(parsed(tmp_path, content)["x"], [[1.0, 2.0]])


def test_columns_come_first(tmp_path):
    values = struct.pack("<6d", 1, 2, 3, 4, 5, 6)
    x = parsed(tmp_path, head() + matrix(shape=(2, 3), values=values))["x"]
    np.testing.assert_array_equal(x, [[1, 3, 5], [2, 4, 6]])


def test_names_choose_and_the_rest_is_not_opened(tmp_path):
    content = saved({"a": np.ones((1, 2)), "b": {"field": 1}, "c": np.ones((1, 3))}, True)
    assert list(parsed(tmp_path, content, names=("c", "d"))) == ["c"]
    assert "'b' is a struct" in refusal(tmp_path, content)
    assert "'b' is a struct" in refusal(tmp_path, content, names=("b",))


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.array([1, "x"], dtype=object), "cell"),
        ({"field": 1}, "struct"),
        (scipy.sparse.eye_array(3, format="csc"), "sparse"),
    ],
)
def test_containers_are_refused_by_name(tmp_path, value, what):
    assert f"'odd' is a {what}" in refusal(tmp_path, saved({"odd": value}, False))


@pytest.mark.parametrize(
    ("kind", "what"), [(3, "object"), (16, "function handle"), (17, "object"), (99, "class 99")]
)
def test_objects_and_functions_are_refused(tmp_path, kind, what):
    content = head() + matrix(name=b"odd", kind=kind) + matrix()
    assert what in refusal(tmp_path, content)
    assert list(parsed(tmp_path, content, names=("x",))) == ["x"]


def test_other_versions_say_what_to_do(tmp_path):
    assert "'-v7'" in refusal(tmp_path, b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    assert "'-v7'" in refusal(tmp_path, b"\x89HDF\r\n\x1a\n".ljust(512))
    assert "'-v7'" in refusal(tmp_path, head(version=0x0200) + matrix())
    old = io.BytesIO()
    scipy.io.savemat(old, {"x": np.ones((20, 20))}, format="4")
    assert "'-v7'" in refusal(tmp_path, old.getvalue())
    assert "can not be opened" in refusal(tmp_path, b"")
    with pytest.raises(DataFileError, match="can not be opened"):
        parse_mat(tmp_path / "none.mat")


@pytest.mark.parametrize(
    "variable",
    [
        matrix(shape=(1, 3)),  # 3 doubles claimed, 2 there
        matrix(shape=(-1, -2)),
        matrix(shape=(2**31 - 1, 2**31 - 1)),
        matrix(shape=(2**31 - 1, 0), values=b"x" * 8),
        matrix(shape=(2,)),
        matrix(storage=99),
        matrix(kind=8, storage=9),  # whole numbers stored as doubles
        matrix(flags=0x800),  # complex without an imaginary part
        matrix(name="é".encode()),
        matrix(kind=4, storage=16, values=b"\xff" * 16),
        matrix(kind=4, storage=16, values=b"abc"),  # text [1, 2] with three letters
        matrix()[:-1],
        matrix()[:20],
        part(14, part(6, bytes(8))),
        part(14, part(1, bytes(8))),
        part(9, bytes(8)),
        part(14, matrix()[8:], size=2**31),
        matrix() + matrix(),  # the same name twice
        element(15, zlib.compress(matrix())[:-4]),  # no checksum
        element(15, zlib.compress(matrix())[:-1] + b"\0"),  # a wrong one
        packed(matrix())[:-1],
        packed(matrix() + b"surplus"),
        packed(matrix()[:-8]),
        packed(b"short"),
        packed(packed(matrix())),
        packed(part(9, bytes(8))),
        b"\0" * 16,
    ],
)
def test_damaged_and_dishonest_variables_are_refused(tmp_path, variable):
    refusal(tmp_path, head() + variable)


def bomb(megabytes: int) -> bytes:
    """A packed variable of zeros, about a thousandth of its size on disk."""
    count = megabytes * 2**20 // 8
    whole = matrix(shape=(1, count), values=b"")
    body = whole[8:-8] + struct.pack("<II", 9, 8 * count)
    squeeze = zlib.compressobj(9)
    small = squeeze.compress(struct.pack("<II", 14, len(body) + 8 * count) + body)
    small += b"".join(squeeze.compress(bytes(2**20)) for _ in range(megabytes)) + squeeze.flush()
    return head() + element(15, small)


def test_zip_bombs_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    np.testing.assert_array_equal(parsed(tmp_path, bomb(2))["x"], np.zeros((1, 2**18)))
    monkeypatch.setattr(mat_reader, "_inflate", None)  # would raise a TypeError
    begin = time.process_time()
    content = bomb(80)
    assert len(content) < 200_000
    reason = refusal(tmp_path, content)
    assert "83,886,080 bytes" in reason
    assert time.process_time() - begin < 5


def test_many_small_bombs_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setattr(mat_reader, "FREE_BYTES", 3 * 2**20)
    variable = bomb(2)[128:]
    assert parsed(tmp_path, head() + variable)["x"].nbytes == 2 * 2**20
    assert "claim 4,194,304 bytes" in refusal(tmp_path, head() + variable + renamed(variable))


def renamed(element: bytes) -> bytes:
    values = bytearray(zlib.decompress(element[8:]))
    at = values.index(b"x")
    values[at : at + 1] = b"y"
    return packed(bytes(values))


def test_a_small_shape_does_not_hide_a_large_rest(tmp_path):
    variable = matrix(values=bytes(10**6))
    assert "claims the shape (1, 2) and 1,000,0" in refusal(tmp_path, head() + packed(variable))


def test_mutated_files_are_read_or_refused(tmp_path):
    rng = np.random.default_rng(0)
    data = {"a": rng.normal(size=(2, 3)), "z": np.array([[1 + 2j]]), "t": "hello", "l": np.array([[True]])}
    whole, variable = saved(data, False), matrix(kind=9, storage=2, values=b"\x01\x02", flags=0x200)
    count = {"read": 0, "refused": 0}
    for i in range(600):
        damaged = mutated(rng, whole) if i % 3 else head() + packed(mutated(rng, variable))
        try:
            parsed(tmp_path, damaged)
            count["read"] += 1
        except DataFileError as error:
            assert error.file == str(tmp_path / "x.mat") and len(str(error)) < 1000
            count["refused"] += 1
    assert count["read"] > 100 and count["refused"] > 200
