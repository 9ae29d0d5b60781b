"""Writes a finished model as one file that runs without this package.

    mpcl export model model.stablehlo
    mpcl export runs/wesad model.onnx --fold 2
    mpcl export model anna.onnx --memory anna.npz

MODEL is a folder that MPCLRegressor.save wrote, or a finished run. The ending of OUT chooses the format: .stablehlo
for JAX, .onnx for onnxruntime and others. The file holds the normalisation and, with --memory, the personal memory.
It is written only if its predictions are those of the model.
"""

from mpcl_jax.cli.command import Parser, command, importing_jax
from mpcl_jax.cli.predict import require_fold
from mpcl_jax.system.paths import user_path


@command
def run(arguments: list[str]) -> None:
    """Writes the file and prints what it takes and returns."""
    parser = Parser("export", __doc__)
    parser.add_argument("model", help="folder of a saved model, or of a finished run")
    parser.add_argument("out", help="the new file, which ends in .stablehlo or .onnx")
    parser.add_argument(
        "--fold", type=int, default=0, metavar="N", help="fold of a run; default: 0, the first"
    )
    text = "the personal memory of one subject, a file that mpcl adapt --memory wrote; for a saved model"
    parser.add_argument("--memory", metavar="FILE", help=text)
    args = parser.parse_args(arguments)
    folder, out = user_path(args.model), user_path(args.out)
    require_fold(folder, args.fold)
    with importing_jax():
        from mpcl_jax.export.source import with_memory_of
        from mpcl_jax.export.write import export

    model, subject = folder, ""
    if args.memory:
        model, subject = with_memory_of(folder, user_path(args.memory, "--memory"))
    about = export(model, out, subject=subject, fold=args.fold)
    for m, inputs in about["inputs"].items():
        print(f"input {m}: {' × '.join(map(str, inputs['shape']))}")
    print(f"output: {' × '.join(map(str, about['output']['shape']))}: {', '.join(about['emotions'])}")
    print(f"{out}: largest difference from the model {about['largest_difference']:.1e}")
