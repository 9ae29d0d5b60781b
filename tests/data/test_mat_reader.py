"""MATLAB files of versions 5 and 7.3: numbers and text are read, everything else is refused in one line."""

import io
import struct

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

from mpcl_jax.data.io.mat_reader import parse_mat
from mpcl_jax.types import DataError


def saved(data: dict, packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, data, do_compression=packed)
    return buffer.getvalue()


def parsed(tmp_path, content: bytes, names=None):
    path = tmp_path / "x.mat"
    path.write_bytes(content)
    return parse_mat(path, names)


def refusal(tmp_path, content: bytes, names=None) -> str:
    with pytest.raises(DataError) as caught:
        parsed(tmp_path, content, names)
    assert caught.value.file == str(tmp_path / "x.mat")
    assert "\n" not in str(caught.value)
    return caught.value.reason


def numbers() -> dict:
    rng = np.random.default_rng(0)
    kinds = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
    data = {f"x_{kind}": rng.integers(0, 100, (3, 4)).astype(kind) for kind in kinds}
    data |= {"cube": rng.normal(size=(4, 3, 2)), "empty": np.zeros((0, 0)), "none": np.zeros((3, 0), "i2")}
    return data | {"z": rng.normal(size=(2, 3)) + 1j, "yes": np.array([[True, False]])}


@pytest.mark.parametrize("packed", [True, False])
def test_numbers_and_text_keep_their_values_types_and_shapes(tmp_path, packed):
    wanted = numbers()
    text = {"text": "hello", "rows": np.array(["ab", "cd"])}
    ours = parsed(tmp_path, saved(wanted | text, packed))
    assert set(ours) == {*wanted, *text}
    for key, x in wanted.items():
        assert ours[key].dtype == x.dtype and ours[key].shape == x.shape, key
        np.testing.assert_array_equal(ours[key], x, err_msg=key)
    assert ours["text"].tolist() == ["hello"] and ours["rows"].tolist() == ["ab", "cd"]


ONE_TWO = struct.pack("<dd", 1, 2)


def head(version=0x0100) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", version) + b"IM"


def part(kind: int, values: bytes) -> bytes:
    return struct.pack("<II", kind, len(values)) + values + bytes(-len(values) % 8)


def matrix(name=b"x", kind=6, shape=(1, 2), storage=9, values=ONE_TWO, flags=0):
    body = part(6, struct.pack("<II", kind | flags, 0))
    body += part(5, struct.pack(f"<{len(shape)}i", *shape)) + part(1, name)
    return part(14, body + part(storage, values))


def test_numbers_in_fewer_bytes_become_the_type_of_the_class(tmp_path):
    """MATLAB stores the double matrix [1 2] as two bytes; `x` is float64 all the same."""
    x = parsed(tmp_path, head() + matrix(storage=2, values=b"\x01\x02"))["x"]
    assert x.dtype == np.float64
    np.testing.assert_array_equal(x, [[1.0, 2.0]])


def test_names_choose_and_the_rest_is_not_opened(tmp_path):
    content = saved({"a": np.ones((1, 2)), "b": {"field": 1}, "c": np.ones((1, 3))}, True)
    assert list(parsed(tmp_path, content, names=("c", "d"))) == ["c"]
    assert parsed(tmp_path, content, names=("d",)) == {}
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
    assert f"'odd' is a {what}" in refusal(tmp_path, saved({"odd": value}))


def test_files_that_are_none_say_what_to_do(tmp_path):
    for content in (b"", b"no MATLAB file", head(version=0x0300) + matrix(), b"\x89HDF\r\n\x1a\n".ljust(600)):
        assert "'-v7'" in refusal(tmp_path, content)
    with pytest.raises(DataError, match="No such file"):
        parse_mat(tmp_path / "none.mat")


def write_hdf5(path, data: dict) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, (x, kind) in data.items():
            file[name] = x
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


def test_matlab_7_3_is_read_with_its_axes_in_order(tmp_path):
    rng = np.random.default_rng(0)
    cube, z = rng.normal(size=(4, 3, 2)), rng.normal(size=(2, 3)) + 2j
    pair = np.zeros(z.T.shape, [("real", "f8"), ("imag", "f8")])
    pair["real"], pair["imag"] = z.T.real, z.T.imag
    letters = np.array([[ord(c)] for c in "hi"], np.uint16)
    held = {"cube": (cube.T, "double"), "z": (pair, "double"), "text": (letters, "char")}
    held |= {"yes": (np.ones((1, 2), np.uint8), "logical"), "none": (np.array([0, 3], np.uint64), "double")}
    path = tmp_path / "x.mat"
    write_hdf5(path, held)
    with h5py.File(path, "r+") as file:
        file["none"].attrs["MATLAB_empty"] = 1
        file.create_group("#refs#")
    ours = parse_mat(path)
    assert set(ours) == {"cube", "z", "yes", "text", "none"}
    np.testing.assert_array_equal(ours["cube"], cube)
    np.testing.assert_array_equal(ours["z"], z)
    assert ours["yes"].dtype == bool and ours["text"].tolist() == ["hi"] and ours["none"].shape == (0, 3)
    assert list(parse_mat(path, ("cube", "more"))) == ["cube"]


def test_matlab_7_3_reads_no_other_file_of_the_computer(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(16))
    other, path = tmp_path / "other.h5", tmp_path / "x.mat"
    with h5py.File(other, "w") as file:
        file["x"] = np.ones((2, 2))
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink(str(other), "x")
        file["soft"] = h5py.SoftLink("/link")
        file.create_dataset("raw", (2,), "f8", external=[(str(tmp_path / "secret"), 0, 16)])
        layout = h5py.VirtualLayout((2, 2), "f8")
        layout[:] = h5py.VirtualSource(str(other), "x", (2, 2))
        file.create_virtual_dataset("virtual", layout)
        file.create_group("group")
    for name in ("link", "soft", "raw", "virtual", "group"):
        with pytest.raises(DataError, match=f"'{name}' is a struct or a link"):
            parse_mat(path, (name,))


def test_bombs_of_matlab_7_3_are_refused(tmp_path):
    path = tmp_path / "x.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (2**40,), "f8", chunks=(2**20,), compression="gzip")
    with pytest.raises(DataError, match="claim 8,796,093,022,208 bytes"):
        parse_mat(path)
