"""The number of epochs is chosen on inner folds of the training part alone."""

import json

import numpy as np
import pytest
from run_fixture import SMALL, quickly_prepared, tiny_config

from mpcl_jax.data.splits.inner import inner_rows
from mpcl_jax.system.errors import Stopped
from mpcl_jax.train import held_out, inner_selection, loop
from mpcl_jax.train.inner_selection import choose_stop
from mpcl_jax.train.interrupt import StopRequest
from mpcl_jax.train.run import Stop, member_of
from mpcl_jax.types import take


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    changes = {name.replace(".", "__"): value for name, value in SMALL.items()}
    config = tiny_config(**changes, train__select="inner", protocol__validation=0.0, protocol__only=(0,))
    return quickly_prepared(config, tmp_path_factory.mktemp("run"))


def test_inner_folds_keep_groups_whole_and_cover_the_training_part(run):
    fold, subject = run.split.folds[0], run.recordings.subject
    held = inner_rows(run.recordings, run.split.protocol, fold.train)
    assert sorted(np.concatenate(held)) == fold.train.tolist()
    assert len(held) == len(np.unique(subject[fold.train]))
    for rows in held:
        assert not set(subject[rows]) & set(subject[np.setdiff1d(fold.train, rows)])


def test_the_choice_depends_on_the_training_part_alone(run):
    member = member_of(run, 0)
    stop, test = choose_stop(run, member), member.fold.test
    labels = run.recordings.labels.copy()
    labels[test] = np.random.default_rng(0).dirichlet(np.ones(labels.shape[1]), len(test))
    signals = {
        m: np.where(np.isin(np.arange(len(x)), test)[:, None, None], 0, x)
        for m, x in run.recordings.signals.items()
    }
    changed = run._replace(recordings=run.recordings._replace(labels=labels, signals=signals))
    rows = run.rows._replace(labels=labels, signals=signals)
    assert choose_stop(changed._replace(rows=rows), member) == stop


@pytest.mark.parametrize(
    "module, work",
    [(inner_selection, choose_stop), (held_out, lambda run, member: held_out.train_inner(run, member, 3))],
    ids=["choice", "inner models"],
)
def test_a_request_to_stop_ends_inner_trainings(run, module, work, monkeypatch):
    stopping, key, calls = run._replace(stop=StopRequest()), module.folded_key, []

    def second_is_the_last(*arguments):
        calls.append(arguments)
        stopping.stop.requested = len(calls) == 2
        return key(*arguments)

    monkeypatch.setattr(module, "folded_key", second_is_the_last)
    with pytest.raises(Stopped):
        work(stopping, member_of(run, 0))
    assert len(calls) == 2


@pytest.mark.parametrize("epoch", [0, 2])
def test_training_stops_at_the_choice(run, epoch, monkeypatch, tmp_path):
    monkeypatch.setattr(loop, "choose_stop", lambda run, member, kept: Stop(epoch, 0.1, 0.2))
    stopped = run._replace(workdir=tmp_path)
    (predictions,) = loop.train_folds(stopped)
    choice = json.loads((tmp_path / "selection.json").read_text())["fold 1 of 3"]["MPCL"]["choice"]
    assert choice == {"epoch": epoch, "by": "KL on inner folds", "inner_kl": 0.1}
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, epoch + 1))
    mean = take(run.recordings, run.split.folds[0].train).labels.mean(0)
    same = np.abs(predictions.predicted - mean).max() < 1e-5
    assert same == (epoch == 0)
