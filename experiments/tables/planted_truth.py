"""Recovery of the simulated truth by a finished run: co-occurrence and prototypes.

    python -m mpcl_jax.main --config configs/dataset.py
    python -m experiments.tables.planted_truth runs/dataset

Retrieved map: the mean over test windows of e_c · M_c, row c of each window's map weighted with the evidence for c,
against the mean of e eᵀ of the reported test labels; Pearson correlation over all pairs of different emotions (and,
second figure, with the diagonal). Remembered: the state `cooccurrence` against the population value of the
generator, likewise.

Prototypes: each test window in which emotion c holds the majority of the evidence goes to the slot (c, k) nearest
to its queries (mean over both banks); the generator knows the planted prototype of c in this window. Purity: share of
these windows that lie in a slot where their planted prototype is the majority; chance: the same with planted
prototypes shuffled within the emotion. A planted prototype is recovered if at least 0.8 of the
windows of some slot belong to it.
"""

import argparse
import json
import pathlib

import numpy as np

from experiments.shared.table_command import path
from mpcl_jax.config.resolve import resolve
from mpcl_jax.data.simulate import simulate
from mpcl_jax.labels import cooccurrence_of
from mpcl_jax.runs.memory import open_memory
from mpcl_jax.system.output import any_output
from mpcl_jax.train.evaluate import load_predictions

CLEAR = 0.5
OWN = 0.8


def correlation(a, b, diagonal: bool) -> float:
    chosen = np.ones(a.shape, bool) if diagonal else ~np.eye(len(a), dtype=bool)
    return float(np.corrcoef(a[chosen], b[chosen])[0, 1])


def purity(slots, planted) -> tuple[float, int]:
    """Share of windows in a slot whose majority is their own planted prototype; planted prototypes recovered."""
    right, recovered = 0, set()
    for k in np.unique(slots):
        found, counts = np.unique(planted[slots == k], return_counts=True)
        right += counts.max()
        if counts.max() >= OWN * counts.sum():
            recovered.add(int(found[counts.argmax()]))
    return right / len(slots), len(recovered)


def prototypes_found(similarity, evidence, planted_slot, rng):
    """Means over emotions with enough windows: purity, chance; and planted prototypes recovered of all."""
    nearest = similarity.mean(1).argmax(-1)  # [P, C]
    rows, recovered, possible = [], 0, 0
    for c in range(evidence.shape[1]):
        clear = evidence[:, c] >= CLEAR
        if clear.sum() < 10:
            continue
        planted = planted_slot[clear, c]
        share, count = purity(nearest[clear, c], planted)
        chance = np.mean([purity(nearest[clear, c], rng.permutation(planted))[0] for _ in range(200)])
        rows.append((share, chance))
        recovered += count
        possible += len(np.unique(planted))
    return *np.mean(rows, axis=0), recovered, possible


def measure(run: pathlib.Path) -> dict:
    """The figures of one run folder, by name, over its first fold."""
    config = resolve(json.loads((run / "config.json").read_text()))
    recordings, truth = simulate(config.data.simulate)
    predictions = load_predictions(run / "folds" / "00" / "predictions.npz")
    evidence = truth.evidence[predictions.rows]
    reported = cooccurrence_of(evidence)
    retrieved = np.einsum("bc,bcd->cd", evidence, predictions.cooccurrence_map)
    remembered = open_memory(run).cooccurrence
    share, chance, recovered, possible = prototypes_found(
        predictions.similarity, evidence, truth.slot[predictions.rows], np.random.default_rng(0)
    )
    return {
        "retrieved_vs_reported": correlation(retrieved, reported, False),
        "retrieved_vs_reported_with_diagonal": correlation(retrieved, reported, True),
        "retrieved_vs_planted": correlation(retrieved, truth.cooccurrence, False),
        "remembered_vs_planted": correlation(remembered, truth.cooccurrence, False),
        "remembered_vs_planted_with_diagonal": correlation(remembered, truth.cooccurrence, True),
        "prototype_purity": share,
        "prototype_purity_by_chance": chance,
        "prototypes_recovered": recovered,
        "prototypes_planted": possible,
    }


@any_output()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=path, nargs="+", help="folder of a finished run")
    for run in parser.parse_args().run:
        print(run)
        for name, value in measure(run).items():
            print(f"  {name:38s} {value:.3f}")


if __name__ == "__main__":
    main()
