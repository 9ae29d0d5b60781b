"""Windows, as far as another system can show it: no module of Unix is needed, and what is missing is said once."""

from python_process import ROOT, python

UNIX_ONLY = ("fcntl", "pwd", "resource", "termios")
READ_TWICE = """
import importlib, pkgutil, sys
import mpcl_jax
for found in pkgutil.walk_packages(mpcl_jax.__path__, "mpcl_jax."):
    if not found.name.endswith("__main__") and ".presets." not in found.name:
        importlib.import_module(found.name)
from mpcl_jax.data.io.guarded_child import limit_resources
from mpcl_jax.data.io.pickle_reader import parse_pickle
from mpcl_jax.data.io.safe_read import run_guarded
assert "posix-only" == run_guarded(parse_pickle, sys.argv[1]) == run_guarded(parse_pickle, sys.argv[1])
limit_resources(2**30, 1.0)
"""


def test_every_module_is_imported_and_a_file_is_read_without_the_modules_of_unix(tmp_path):
    # Python imports sitecustomize when it starts, here and in the guarded child, which gets the same path.
    text = f"import sys\nsys.modules.update(dict.fromkeys({UNIX_ONLY}))\n"
    (tmp_path / "sitecustomize.py").write_text(text)
    (tmp_path / "data.pkl").write_bytes(b"\x80\x02U\nposix-onlyq\x00.")
    path = f"{tmp_path}:{ROOT}"
    ended = python("-c", READ_TWICE, tmp_path / "data.pkl", PYTHONPATH=path)
    assert ended.stderr.count("warning: this system cannot limit the memory and the processor time") == 1
