"""Time of a recall by the number of written trials, and of the memory of a fold by the number of subjects.

    python -m experiments.speed.recall

One window recalls by three views (67 features, 12 emotions, a query of 64 numbers), as in the music data set, without
the model that predicts it; and by two views with what 55 training subjects with 32 trials each have in common. Then
all trials of many subjects, three each, are predicted in sequence, saved and loaded. Numbers are processor times,
the smallest of the repeats; OPENBLAS_NUM_THREADS=1 in the environment for those of one thread.
"""

import argparse
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from experiments.shared.table_command import ending, positive
from mpcl_jax.evaluation.table_text import markdown_of
from mpcl_jax.model.personal_memory import adapt, write_trials
from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS, QUERY, OtherSubjects, RecallKernel, views_of
from mpcl_jax.train.fit import Learned
from mpcl_jax.train.fold_memory import ALL, FoldMemory, adapted_shares, load_memory, save_memory
from mpcl_jax.train.sequences import HeldOut

VIEWS, EMOTIONS, TRIALS = (FEATURES, LOG_PROBS, QUERY), 12, 3
KERNEL = RecallKernel(0.1, dict.fromkeys(VIEWS, 0.5), dict.fromkeys(VIEWS, 5.0), 0.3)
OTHERS = 55, 32  # training subjects, trials of each


def windows(count: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Views, log-probabilities and reports of `count` random windows."""
    rng = np.random.default_rng(0)
    log_probs = log_softmax(rng.normal(size=(count, EMOTIONS)), axis=1)
    views = views_of({"x": rng.normal(size=(count, 1, 67))}, log_probs, rng.normal(size=(count, 2, 32)))
    return views, log_probs, rng.dirichlet(np.ones(EMOTIONS), count)


def seconds(action: Callable[[], object], repeats: int) -> float:
    """The smallest processor time of `action`."""
    found = []
    for _ in range(repeats):
        begin = time.process_time()
        action()
        found.append(time.process_time() - begin)
    return min(found)


def with_others() -> RecallKernel:
    """A kernel that holds the responses of random training subjects."""
    views, _, labels = windows(OTHERS[0] * OTHERS[1])
    own = {view: views[view] for view in (FEATURES, LOG_PROBS)}
    others = OtherSubjects(np.repeat(np.arange(OTHERS[0]), OTHERS[1]), own, labels - labels.mean())
    return RecallKernel(0.1, dict.fromkeys(own, 0.5), dict.fromkeys(own, 5.0), 0.3, others)


def of_recall(kernel: RecallKernel, trials: int, repeats: int) -> float:
    """Seconds of the recall of one window with so many written `trials`."""
    views, log_probs, labels = windows(trials)
    memory = write_trials(None, kernel, np.arange(trials).astype(str), views, log_probs, labels)
    one = {view: x[:1] + 0.1 for view, x in views.items()}
    return seconds(lambda: adapt(memory, kernel, one, log_probs[:1]), repeats)


def of_subjects(subjects: int, folder: pathlib.Path) -> dict[str, float]:
    """Seconds of a fold's memory with so many tested `subjects`."""
    count = TRIALS * subjects
    views, log_probs, labels = windows(count)
    rows, ids = np.arange(count), np.repeat(np.arange(subjects), TRIALS).astype(str)
    tested = HeldOut(views, log_probs, labels, ids, rows.astype(str))
    learned = {ALL: Learned(KERNEL, "on")}
    memory = FoldMemory(rows, np.exp(log_probs), tested, learned, ALL, ())
    file = folder / "memory.npz"
    steps = {
        "predict": lambda: adapted_shares(memory, rows, None),
        "save": lambda: save_memory(file, memory),
        "load": lambda: load_memory(file),
    }
    return {name: seconds(step, 1) for name, step in steps.items()}


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--trials", nargs="+", type=positive, default=[32, 256, 1_000, 10_000])
    parser.add_argument("--subjects", nargs="+", type=positive, default=[100, 1_000, 10_000])
    parser.add_argument("--repeats", type=positive, default=20)
    args = parser.parse_args(words)
    with ending(), tempfile.TemporaryDirectory() as folder:
        kernels = {"ms": KERNEL, "ms with other subjects": with_others()}
        rows = [
            {
                "written trials": n,
                **{name: f"{1e3 * of_recall(k, n, args.repeats):.2f}" for name, k in kernels.items()},
            }
            for n in args.trials
        ]
        print(markdown_of(pd.DataFrame(rows)), flush=True)
        for n in args.subjects:
            found = of_subjects(n, pathlib.Path(folder))
            print(f"{n} subjects: {', '.join(f'{name} {x:.2f} s' for name, x in found.items())}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
