"""The pictures of docs/gallery.md; or the pictures of your own run, as files for a paper.

    python -m experiments.figures.gallery --out docs/pictures/gallery
    python -m experiments.figures.gallery --run runs/dataset --out pictures --format pdf

The first command trains on simulated recordings (configs/dataset.py, one fold) and draws the figures of this run, a
split, and three tables of experiments/results. The second command draws the figures of a finished run.
"""

import argparse
import pathlib
import sys
import tempfile

import matplotlib
import pandas as pd

from experiments.figures.split_grid import split_grid
from experiments.shared.comparison_plots import Curve, curves, differences, sweeps
from experiments.shared.render import read
from experiments.tables.sensitivity import SWEEPS, in_use
from mpcl_jax.cli.command import command
from mpcl_jax.cli.train import train
from mpcl_jax.config.data import ProtocolConfig, SimulateConfig
from mpcl_jax.config.resolve import resolve
from mpcl_jax.data.simulate import simulate
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation.leaderboard import METHOD
from mpcl_jax.report.pictures import figures_of
from mpcl_jax.report.plots.style import Figure, styled
from mpcl_jax.runs.read_run import RunFiles, read_run
from mpcl_jax.system.storage import make_folder

NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": None}
KL = "KL (nats), lower is better"
ENDS = ("kl", "kl_low", "kl_high")
METHODS = (METHOD, "kernel_ridge", "train_mean", "mlp", "extra_trees")


def split_figure() -> Figure:
    """Four folds of subjects of a small simulated data set."""
    recordings, _ = simulate(SimulateConfig(subjects=8, clips=8, windows=5))
    split = make_split(recordings, ProtocolConfig(kind="subject_kfold", folds=4, validation=0.2))
    return split_grid(recordings, split)


def ablation_figure() -> Figure:
    """KL of MPCL without one part, minus KL of MPCL, of ablation_simulated_pairs.csv."""
    pairs = read("ablation_simulated_pairs")
    first, second = (pairs[pairs[side] == METHOD].assign(name=pairs[other]) for side, other in ("ab", "ba"))
    first[["difference", "low", "high"]] = -first[["difference", "high", "low"]].to_numpy()
    found = pd.concat([first, second]).sort_values("difference", ascending=False)
    found = found[found["name"] != "train_mean"]
    significant = found["verdict_of_a"].isin(["better", "worse"])
    label = f"KL minus KL of MPCL (nats), n = {found['units'].iloc[0]}"
    ends = (found[column].astype(float) for column in ("difference", "low", "high"))
    return differences(list(found["name"]), *ends, significant, label=label)


def learning_curve_figure() -> Figure:
    """KL by the number of training subjects, of curve_simulated.csv."""
    table = read("curve_simulated")
    table["subjects"] = table["training subjects"].str.extract(r"(\d+)").astype(int)
    rows = {name: table[table["method"] == name] for name in METHODS}
    lines = [Curve(name, *(row[x].tolist() for x in ("subjects", *ENDS))) for name, row in rows.items()]
    return curves(lines, across="training subjects", up=KL)


def sensitivity_figure() -> Figure:
    """KL by the value of each setting, of sensitivity_simulated.csv."""
    table, panels = read("sensitivity_simulated").set_index("method"), []
    for title, key, _ in SWEEPS:
        used = in_use(resolve({}), key)
        rows = {used: table.loc[METHOD]}
        rows |= {float(x.split(" = ")[1]): table.loc[x] for x in table.index if x.startswith(f"{key} = ")}
        values = sorted(rows)
        ends = ([float(rows[value][column]) for value in values] for column in ENDS)
        panels.append((Curve(title, values, *ends), used))
    return sweeps(panels, up=KL)


def figures(run: RunFiles) -> dict[str, Figure]:
    """Every figure of the gallery by its name; those of the report from `run`."""
    return figures_of(run) | {
        "split": split_figure(),
        "ablation": ablation_figure(),
        "learning_curve": learning_curve_figure(),
        "sensitivity": sensitivity_figure(),
    }


def write(found: dict[str, Figure], out: pathlib.Path, kind: str) -> None:
    """Writes OUT/NAME.KIND of each figure. Letters are outlines, so that no viewer needs the font."""
    make_folder(out)
    for name, figure in found.items():
        file = out / f"{name}.{kind}"
        with styled(), matplotlib.rc_context({"svg.fonttype": "path"}):
            figure.savefig(file, facecolor="white", dpi=200, metadata=NO_DATE.get(kind))
        print(file)


def main(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=pathlib.Path, help="a finished run; without it, one is trained")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the pictures")
    parser.add_argument("--format", choices=list(NO_DATE), default="svg")
    args = parser.parse_args(arguments)
    if args.run:
        write(figures_of(read_run(args.run)), args.out, args.format)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        workdir = pathlib.Path(folder) / "dataset"
        if code := train(["--config", "dataset", "--workdir", str(workdir)]):
            return code
        write(figures(read_run(workdir)), args.out, args.format)
    return 0


if __name__ == "__main__":
    sys.exit(command(main)())
