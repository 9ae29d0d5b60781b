"""What the personal memory costs where subjects have no style of their own, and what it gains where they have one.

    python -m experiments.tables.memory_cost --out experiments/results/memory_cost.csv

Subjects are drawn: reports are the predicted distribution, moved by a style of the subject and by noise of the trial.
In "exchangeable" the style is 0; in "zeros" small shares are reported as 0, as with sliders. In each draw the memory
is learned and chosen on 16 subjects, as in a fold of `sequential`, and tested on 200 others, each trial after the
earlier ones. Columns: number n of written trials, draws in which the memory is on, KL without and with the memory
(mean over subjects, then draws), change of the KL in per cent. Where the style is 0, the change should be at most
+0.5. The same on the simulated default: `experiments.tables.main_table` with the protocol `few_shot`.
"""

import argparse
import sys

import numpy as np
from scipy.special import log_softmax

from experiments.shared.table_command import ending, path, positive, shown_command, write_rows
from mpcl_jax.model.recall_kernel import views_of
from mpcl_jax.system.output import any_output
from mpcl_jax.train.fold_memory import learn_memory
from mpcl_jax.train.sequences import HeldOut, predict_in_sequence, sequences_of

TRAINING, TESTED, TRIALS, EMOTIONS, FEATURES = 16, 200, 8, 5, 3
NOISE, SMALLEST = 0.5, 0.1  # sd of a trial's noise; smaller shares are reported as 0 in "zeros"
CASES = {
    "exchangeable": (0.0, False),
    "exchangeable, zeros": (0.0, True),
    "own style": (0.5, False),
    "own style, zeros": (0.5, True),
}


def drawn(rng: np.random.Generator, subjects: int, style: float, zeros: bool) -> HeldOut:
    """`subjects` of TRIALS trials with one window each; `style`: standard deviation of what is the subject's own."""
    count = subjects * TRIALS
    scores = rng.normal(size=(count, EMOTIONS))
    own = np.repeat(style * rng.normal(size=(subjects, EMOTIONS)), TRIALS, axis=0)
    labels = np.exp(log_softmax(scores + own + NOISE * rng.normal(size=scores.shape), axis=1))
    if zeros:
        labels = np.where(labels < SMALLEST, 0.0, labels)
        labels /= labels.sum(axis=1, keepdims=True)
    log_probs = log_softmax(scores, axis=1)
    views = views_of({"features": rng.normal(size=(count, 1, FEATURES))}, log_probs)
    subject = np.repeat(np.arange(subjects), TRIALS).astype(str)
    return HeldOut(views, log_probs, labels, subject, np.arange(count).astype(str))


def kl_by_trial(log_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """KL [TRIALS], mean over subjects, of predictions and reports [S, TRIALS, 1, C]."""
    return (labels * (np.log(np.where(labels > 0, labels, 1.0)) - log_probs)).sum(-1).mean((0, 2))


def measure(style: float, zeros: bool, draws: int) -> tuple[np.ndarray, np.ndarray, int]:
    """KL [TRIALS] after 0, 1, … written trials without and with the memory, and in how many draws it is on."""
    before, after, on = [], [], 0
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        training, tested = (drawn(rng, count, style, zeros) for count in (TRAINING, TESTED))
        rows, shares = np.arange(len(tested.labels)), np.exp(tested.log_probs)
        kernel = learn_memory(training, tested, rows, shares, "", others=True).kernel
        sequences = sequences_of(tested, kernel.gain if kernel else ())
        moved = predict_in_sequence(kernel, sequences) if kernel else sequences.log_probs
        before.append(kl_by_trial(sequences.log_probs, sequences.labels))
        after.append(kl_by_trial(moved, sequences.labels))
        on += kernel is not None
    return np.mean(before, axis=0), np.mean(after, axis=0), on


def report(draws: int) -> list[dict[str, str]]:
    """A row of each case and number of written trials."""
    rows = []
    for case, (style, zeros) in CASES.items():
        before, after, on = measure(style, zeros, draws)
        for n, (without, with_it) in enumerate(zip(before, after, strict=True)):
            row = {"case": case, "n": str(n), "draws_on": f"{on} of {draws}"}
            row |= {"kl_zero_shot": f"{without:.4f}", "kl": f"{with_it:.4f}"}
            rows.append(row | {"change_percent": f"{100 * (with_it / without - 1):+.2f}"})
    return rows


@any_output()
def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--draws", type=positive, default=20, help="draws of subjects whose KL is averaged")
    parser.add_argument("--out", type=path, help="the .csv to write")
    args = parser.parse_args(words)
    with ending():
        write_rows(report(args.draws), args.out, shown_command(__spec__.name, words))


if __name__ == "__main__":
    main(sys.argv[1:])
