"""Pickles that would create a file, connect to a port, or reach code that could; none may run anything."""

import pathlib
import struct

# Functions that a program could be made of, each called with a shell command, a piece of Python, a path or a number.
CALLS = {
    "shell": "os.system posix.system nt.system os.popen pty.spawn subprocess.getoutput commands.getoutput",
    "code": "builtins.eval builtins.exec __builtin__.eval __builtin__.execfile timeit.timeit code.interact "
    "numpy.testing._private.utils.runstring numpy.f2py.crackfortran.getlincoef",
    "path": "builtins.open io.open pathlib.Path logging.FileHandler sqlite3.connect runpy.run_path numpy.load "
    "numpy.fromfile numpy.save zipfile.ZipFile shutil.rmtree os.remove os.mkdir tempfile.mkstemp dbm.open",
    "number": "socket.socket marshal.loads types.FunctionType types.CodeType copyreg._reconstructor ctypes.CDLL "
    "importlib.import_module builtins.__import__ builtins.getattr builtins.setattr functools.partial "
    "operator.methodcaller operator.attrgetter webbrowser.open asyncio.run _codecs.lookup builtins.bytes "
    "mpcl_jax.data.io.guarded_child.main",
}


def text(value: str) -> bytes:
    """Instructions that put text on the stack."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def call(module: str, name: str, *args: bytes) -> bytes:
    """Instructions that leave the result of module.name(*args) on the stack."""
    return f"c{module}\n{name}\n".encode() + b"(" + b"".join(args) + b"tR"


def hostile_pickles(canary: pathlib.Path, port: int = 9) -> dict[str, bytes]:
    """Name -> pickle; `canary` is the file that they would create, `port` one that they would connect to."""
    shell, code = text(f"touch {canary}"), text(f"open({str(canary)!r}, 'w')")
    address = b"(" + text("127.0.0.1") + b"M" + struct.pack("<H", port) + b"t"
    args = {"shell": shell, "code": code, "path": text(str(canary)), "number": b"K\x03"}
    programs = {
        full: call(*full.rsplit(".", 1), args[kind])
        for kind, names in CALLS.items()
        for full in names.split()
    }
    by_stack = {
        name: text(name[0]) + text(name[1]) + b"\x93(" + shell + b"tR"
        for name in (
            ("os", "system"),
            ("numpy", "os.system"),
            ("numpy", "dtype.__class__.__base__.__subclasses__"),
            ("numpy.core", "multiarray._reconstruct"),
            ("numpy.core.multiarray", "scalar.__self__"),
        )
    }
    programs |= {f"by stack {module}.{name}": program for (module, name), program in by_stack.items()}
    inner = b"\x80\x02" + programs["os.system"] + b"."
    nested = b"B" + struct.pack("<I", len(inner)) + inner
    object_type = call("numpy", "dtype", text("O8"), b"K\x00", b"K\x01")
    array = call("numpy.core.multiarray", "_reconstruct", b"cnumpy\nndarray\n", b"K\x00\x85", b"C\x01b")
    chain = call("builtins", "getattr", call("importlib", "import_module", text("os")), text("system"))
    programs |= {
        "connection": call("socket", "create_connection", address),
        "client": call("multiprocessing.connection", "Client", address),
        "url": call("urllib.request", "urlopen", text(f"http://127.0.0.1:{port}/")),
        "nested pickle": call("pickle", "loads", nested),
        "nested _pickle": call("_pickle", "loads", nested),
        "getattr chain": chain + b"(" + shell + b"tR",
        "getattr of an allowed name": call("builtins", "getattr", b"cnumpy\nndarray\n", text("tofile")),
        "global whose name is no text": b"]K\x01\x93(" + shell + b"tR",
        "global with a line feed": b"cnumpy\ndtype\rsystem\n(" + shell + b"tR",
        "similar letters": "cnumpу\ndtype\n".encode() + b"(" + shell + b"tR",
        "ext1": b"\x82\x01(" + shell + b"tR",
        "ext4": b"\x84\x01\x00\x00\x00(" + shell + b"tR",
        "persid": b"Pos.system\n",
        "binpersid": shell + b"Q",
        "inst": b"(" + shell + b"ios\nsystem\n",
        "obj": b"(cos\nsystem\n" + shell + b"o",
        "newobj": b"cos\nsystem\n" + shell + b"\x85\x81",
        "newobj_ex": b"cos\nsystem\n" + shell + b"\x85}\x92",
        "newobj of an allowed name": b"cnumpy\nndarray\nK\x03\x85\x81",
        "build of a dict": b"}}" + text("__class__") + shell + b"sb",
        "build of an allowed name": b"cnumpy\nndarray\n}" + text("__reduce__") + shell + b"sb",
        "build of an allowed class": b"cnumpy\ndtype\n}" + text("__init__") + shell + b"sb",
        "build of a function": b"cnumpy.core.multiarray\nscalar\nN}" + text("__code__") + shell + b"s\x86b",
        "call of data": shell + b"(" + shell + b"tR",
        "codecs of another kind": call("_codecs", "encode", text("x"), text("rot13")),
        "object type": object_type,
        "object scalar": call("numpy.core.multiarray", "scalar", object_type, b"C\x0812345678"),
        "object array": array + b"(K\x01K\x01\x85" + object_type + b"\x89](" + shell + b"etb",
        "subclass of array": call("numpy.core.multiarray", "_reconstruct", b"cnumpy\nmemmap\n", b"K\x00\x85"),
        "buffer out of band": b"\x97",
        "newer protocol": b"\x80\x06N",
    }
    return {name: b"\x80\x02" + program + b"." for name, program in programs.items()}
