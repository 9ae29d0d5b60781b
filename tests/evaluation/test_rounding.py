"""Published numbers do not depend on the last digits of predictions, in which processors and versions differ."""

import csv

import numpy as np
import pytest

from mpcl_jax.config.data import ProtocolConfig, SimulateConfig
from mpcl_jax.config.schema import BenchmarkConfig
from mpcl_jax.data.simulate import simulate
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.evaluation import statistics_text
from mpcl_jax.evaluation.comparison import predict_fold
from mpcl_jax.evaluation.leaderboard import Result, make_table

NAMES = ("uniform", "train_mean", "subject_mean", "stimulus_mean", "duration_only", "knn", "ridge")
NOISE = 1e-9  # of each share


@pytest.fixture(scope="module")
def study():
    """Recordings of six subjects, their split, and what six baselines and a blend of two ("MPCL") predict."""
    recordings, _ = simulate(SimulateConfig(subjects=6, clips=6, windows=2, emotions=6))
    split = make_split(recordings, ProtocolConfig(kind="subject_kfold", folds=3))
    settings = BenchmarkConfig(baselines=NAMES, tries=1)
    folds = [predict_fold(recordings, split.protocol, fold, NAMES, settings, 0)[0] for fold in split.folds]
    predicted = {name: np.concatenate([fold[name] for fold in folds]).astype(np.float64) for name in NAMES}
    predicted["MPCL"] = (predicted["knn"] + predicted["train_mean"]) / 2
    return recordings, split, predicted


def files_of(study, noise: float, seed: int = 0) -> dict[str, str]:
    """All files of the table, of predictions that are off by `noise` of themselves."""
    recordings, split, predicted = study
    rng = np.random.default_rng(seed)
    results = [Result(name, [x * (1 + noise * rng.normal(size=x.shape))]) for name, x in predicted.items()]
    rows = np.concatenate([fold.test for fold in split.folds])
    table = make_table(
        results,
        recordings.labels[rows],
        recordings.subject[rows],
        recordings.trial[rows],
        split.sha256,
        leaky=False,
    )
    made_by = {"command": "", "commit": ""}
    files = statistics_text.files_of(table, recordings.emotions, title="", **made_by)
    return files


def test_noise_of_a_billionth_changes_no_published_number(study):
    exact, noisy = files_of(study, 0), files_of(study, NOISE, seed=1)
    for name in exact:
        if not name.endswith(".csv"):
            assert exact[name] == noisy[name], name
            continue
        before, after = (list(csv.reader(files[name].splitlines())) for files in (exact, noisy))
        assert len(before) == len(after)
        for was, now in zip(before, after, strict=True):
            for column, a, b in zip(before[1], was, now, strict=False):
                assert same(a, b), f"{name}, {was[0]}, {column}: {a}, with noise {b}"


def same(a: str, b: str) -> bool:
    """Whether two cells hold the same text, or numbers of which no published digit (the fourth decimal) differs."""
    try:
        return float(b) == pytest.approx(float(a), rel=1e-5, abs=1e-7, nan_ok=True)
    except ValueError:
        return a == b
