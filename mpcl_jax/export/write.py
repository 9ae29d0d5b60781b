"""Writes a finished model as one file: `.stablehlo` for JAX, `.onnx` for other programs."""

import io
import itertools
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from mpcl_jax.export.program import Exportable, inputs_of, program_of
from mpcl_jax.export.source import exportable
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import replacing
from mpcl_jax.train.devices import compiled
from mpcl_jax.train.jax_settings import fixed_jax_settings
from mpcl_jax.types import DataError

# Of the comparison: windows, the most subsets of modalities, share of missing values, allowed difference.
WINDOWS, SUBSETS, MISSING, TOLERANCE = 64, 1024, 0.05, 1e-5
PLATFORMS = ("cpu", "cuda", "tpu")
OUTPUT = "shares"
CODE = {
    ".stablehlo": """import json, zipfile
import jax.export, numpy as np

with zipfile.ZipFile("{name}") as file:
    about = json.loads(file.read("about.json"))
    program = jax.export.deserialize(bytearray(file.read("program.bin")))
X = {{m: np.full((1, *x["shape"][1:]), np.nan, np.float32) for m, x in about["inputs"].items()}}
X["{first}"][:] = 0  # fill in what was measured
shares = np.asarray(program.call(X))  # [rows, {count}]
""",
    ".onnx": """import json
import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("{name}")
about = json.loads(session.get_modelmeta().custom_metadata_map["about"])
X = {{m: np.full((1, *x["shape"][1:]), np.nan, np.float32) for m, x in about["inputs"].items()}}
X["{first}"][:] = 0  # fill in what was measured
(shares,) = session.run(None, X)  # [rows, {count}]
""",
}


def export(model: Any, path: str | os.PathLike, *, subject: str = "", fold: int = 0) -> dict[str, Any]:
    """Writes `model` to `path` as one file that runs without this package, and returns its header.

    Args:
        model: a fitted or adapted `MPCLRegressor`, or the path of a saved one or of a finished run.
        path: ends in `.stablehlo` (a zip file with `program.bin` for `jax.export` and `about.json`) or in `.onnx`
            (needs `pip install 'mpcl-jax[onnx]'`). A file of this name is replaced.
        subject: name of the subject of an adapted model, for the header.
        fold: the fold of a run.

    The program takes features as they were measured, m -> [N, F] or [N, T, F] float32, NaN where missing, and returns
    the distributions [N, C] float32. Before the file is written, its program and `predict` are compared on 64 windows
    with every subset of modalities absent. Raises DataError, and writes nothing, where a share differs by more than
    1e-5, where `path` has another ending, and where a package is missing.
    """
    path = user_path(path)
    if path.suffix not in CODE:
        raise DataError(path, f"has the ending {path.suffix!r}; wanted {' or '.join(CODE)}")
    source = exportable(model, fold, subject)
    make = _stablehlo if path.suffix == ".stablehlo" else _onnx
    try:
        with fixed_jax_settings(), jax.enable_x64(True):
            run, pack = make(source)
    except ImportError as error:
        reason = f"needs a package that is not installed ({error.name}): pip install 'mpcl-jax[onnx]'"
        raise DataError(path, reason) from error
    difference = largest_difference(source, run)
    if not difference <= TOLERANCE:
        reason = f"is not written: its predictions differ from those of the model by up to {difference:.1e}"
        raise DataError(path, f"{reason}, more than {TOLERANCE:g}; try the other format, and report this")
    first = next(iter(source.spec.shapes))
    code = CODE[path.suffix].format(name=path.name, first=first, count=len(source.spec.emotions))
    about = source.about | {"jax": jax.__version__, "largest_difference": difference, "code": code}
    content = pack(about)
    with replacing(path, len(content)) as temporary:
        temporary.write_bytes(content)
    return about


Run = Callable[[dict[str, np.ndarray]], np.ndarray]
Pack = Callable[[dict[str, Any]], bytes]


def _stablehlo(source: Exportable) -> tuple[Run, Pack]:
    """The program, and the content of the file for a header."""
    (rows,) = jax_export.symbolic_shape("rows")
    shapes = {
        m: jax.ShapeDtypeStruct((rows, *shape), np.float32) for m, shape in inputs_of(source.spec).items()
    }
    made = jax_export.export(jax.jit(program_of(source)), platforms=PLATFORMS)(shapes)
    try:
        program = bytes(made.serialize())
    except ImportError as error:
        raise ImportError("flatbuffers", name="flatbuffers") from error

    def pack(about: dict[str, Any]) -> bytes:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("about.json", json.dumps(about, indent=1))
            file.writestr("program.bin", program)
        return content.getvalue()

    loaded = compiled(jax_export.deserialize(bytearray(program)).call, once=True)
    return lambda signals: np.asarray(loaded(signals)), pack


def _onnx(source: Exportable) -> tuple[Run, Pack]:
    """As `_stablehlo`, for onnxruntime."""
    import onnxruntime

    from mpcl_jax.export.onnx_graph import onnx_model, with_header

    shapes, output = inputs_of(source.spec), (OUTPUT, len(source.spec.emotions))
    model = onnx_model(program_of(source), shapes, output)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(signals: dict[str, np.ndarray]) -> np.ndarray:
        return session.run([OUTPUT], signals)[0]

    return run, lambda about: with_header(model, about)


def largest_difference(source: Exportable, run: Callable[[dict], np.ndarray]) -> float:
    """The largest difference of a share between `run`, m -> [N, *shape] to [N, C], and the model's `predict`.

    64 windows around the training mean with every subset of the modalities absent: 1024 drawn subsets where there are
    more. Infinite where only one of the two refuses a window.
    """
    rng, shapes, norm = np.random.default_rng(0), source.spec.shapes, source.models[0].normalisation
    subsets = np.array(list(itertools.islice(itertools.product((True, False), repeat=len(shapes)), SUBSETS)))
    if 2 ** len(shapes) > SUBSETS:
        subsets = rng.random((SUBSETS, len(shapes))) < 0.5
    signals, present = {}, {}
    for m, here in zip(shapes, subsets.T, strict=True):
        drawn = rng.normal(size=(WINDOWS, *shapes[m]))
        x = norm.mean[m] + np.where(np.isfinite(norm.std[m]), norm.std[m], 0) * drawn
        x[rng.random(x.shape) < MISSING] = np.nan
        x = np.where(here[:, None, None, None], x, np.nan).reshape(-1, *shapes[m]).astype(np.float32)
        signals[m], present[m] = x, ~np.isnan(x).all((1, 2))
    some = np.any(list(present.values()), axis=0)
    expected = np.tile(np.asarray(source.empty, np.float64), (len(some), 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values outside the training range
        held = ({m: x[some] for m, x in tree.items()} for tree in (signals, present))
        expected[some] = source.predict(*held)
    found = run({m: signals[m].reshape(-1, *shape) for m, shape in inputs_of(source.spec).items()})
    if (np.isnan(found) != np.isnan(expected)).any():
        return np.inf
    return float(np.nanmax(np.abs(found - expected)))
