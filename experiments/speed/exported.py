"""Size of exported files, and the time of a prediction with them.

    python -m experiments.speed.exported MODEL

MODEL is a folder that `MPCLRegressor.save` wrote. Times are processor time (user and system) of one thread, the
smallest of the repeats, so that other programs disturb little. Needs the extra `onnx`.
"""

import argparse
import pathlib
import sys
import tempfile
import time
import zipfile

import jax.export
import numpy as np
import pandas as pd

import mpcl_jax as mpcl
from experiments.shared.table_command import ending
from mpcl_jax.evaluation.table_text import markdown_of


def smallest(function, repeats: int) -> float:
    """The smallest processor time of a call, in milliseconds."""
    times = []
    for _ in range(repeats + 1):
        before = time.process_time()
        function()
        times.append(time.process_time() - before)
    return 1000 * min(times[1:])  # the first call compiles


def measured(folder: str, rows: tuple[int, ...] = (1, 1000), repeats: int = 20) -> pd.DataFrame:
    """One row a way to predict: size, seconds of the export, and milliseconds of a call with so many rows."""
    import onnxruntime

    model, found = mpcl.load(folder), []
    with tempfile.TemporaryDirectory() as place:
        for name in ("model.stablehlo", "model.onnx"):
            file, before = pathlib.Path(place, name), time.process_time()
            about = mpcl.export(model, file)
            entry = {"program": name, "bytes": file.stat().st_size, "export s": time.process_time() - before}
            if file.suffix == ".onnx":
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = options.inter_op_num_threads = 1
                session = onnxruntime.InferenceSession(file, options)
                found.append((entry, lambda X, session=session: session.run(None, X)))
            else:
                with zipfile.ZipFile(file) as opened:
                    program = jax.jit(jax.export.deserialize(bytearray(opened.read("program.bin"))).call)
                found.append((entry, lambda X, program=program: np.asarray(program(X))))
        found.append(({"program": "predict", "bytes": "", "export s": ""}, model.predict))
        rng = np.random.default_rng(0)
        for entry, predict in found:
            for count in rows:
                shapes = {m: (count, *x["shape"][1:]) for m, x in about["inputs"].items()}
                X = {m: rng.normal(size=shape).astype(np.float32) for m, shape in shapes.items()}
                entry[f"{count} rows ms"] = smallest(lambda predict=predict, X=X: predict(X), repeats)
    return pd.DataFrame([entry for entry, _ in found])


def main(arguments: list[str]) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "model", help="a folder that MPCLRegressor.save wrote, of a model that was fitted on a dict"
    )
    args = parser.parse_args(arguments)
    with ending():
        print(markdown_of(measured(args.model).round(2)))


if __name__ == "__main__":
    main(sys.argv[1:])
