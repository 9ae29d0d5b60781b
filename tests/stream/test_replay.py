"""A replay in any chunking and order of arrival gives the features and predictions of the whole recording."""

import numpy as np
import pytest
from python_process import SHARED
from stream_fixture import HOP, RATES, offline, recording, shares, untrained

import mpcl_jax as mpcl
from mpcl_jax.stream.sources import replay

pytestmark = pytest.mark.usefixtures("quick_programs")
SECONDS = 70


@pytest.fixture(scope="module")
def model():
    return untrained()


@pytest.fixture(scope="module")
def whole(model):
    """Signals of a new subject, and what `predict` makes of the features of the whole recording."""
    signals = recording(SECONDS, seed=1)
    values, ends = offline(signals)
    return signals, ends, model.predict(values).astype(np.float32)


def predicted(model, source, **options):
    found = list(mpcl.stream(model, source, **{"hop": HOP, **options}))
    return np.array([t for t, _ in found]), shares(found)


def same(found, whole):
    np.testing.assert_array_equal(found[0], whole[1])
    np.testing.assert_array_equal(found[1], whole[2])


@pytest.mark.parametrize("chunk", [1 / 64, 0.37, 1.0, 9.1, 60.0])
def test_a_replay_in_any_chunking_is_the_offline_prediction_bit_for_bit(model, whole, chunk):
    same(predicted(model, replay(whole[0], RATES, chunk=chunk)), whole)


@pytest.mark.parametrize("seed", range(3))
def test_arrival_shuffled_within_the_lateness_and_duplicates_change_nothing(model, whole, seed):
    rng = np.random.default_rng(seed)
    chunks = list(replay(whole[0], RATES, chunk=0.1))
    chunks += [chunks[i] for i in rng.integers(len(chunks), size=50)]  # sent twice
    arrival = [chunk.times[-1] + rng.uniform(0, 0.8) for chunk in chunks]
    same(predicted(model, [chunks[i] for i in np.argsort(arrival)], rates=RATES), whole)


def wesad(subject="S2"):
    with np.load(SHARED / "data" / "wesad_wrist.npz") as held:
        bvp, eda, temp, acc = (held[f"{subject}_{name}"] for name in ("BVP", "EDA", "TEMP", "ACC"))
    return {"bvp": bvp[:, 0] / 100, "eda": eda[:, 0], "temp": temp[:, 0], "acc": acc / 64}


def emopaircompete(trial=3):
    signals = {}
    with np.load(SHARED / "data" / "emopaircompete.npz") as held:
        for name in ("BVP", "EDA", "TEMP"):
            first = held[f"{name}_length"][:trial].sum()
            signals[name.lower()] = held[name][first:][: held[f"{name}_length"][trial]] / (
                100 if name == "BVP" else 1
            )
    return signals


def first_seconds(signals, seconds):
    return {m: x[: round(seconds * RATES[m])] for m, x in signals.items()}


@pytest.mark.parametrize("read", [wesad, emopaircompete])
@pytest.mark.parametrize("chunk", [1.0, pytest.param(1 / 64, marks=pytest.mark.long), 60.0])
def test_real_recordings_give_the_offline_predictions_bit_for_bit(read, chunk):
    try:
        signals = read()
    except FileNotFoundError:
        pytest.skip("real recordings are not at hand (../shared/data)")
    model = untrained(window=60.0, hop=30.0, signals=first_seconds(signals, 200), seeds=1)
    tested = (
        signals if chunk < 1 else first_seconds(signals, 400)
    )  # both are cut to whole windows by themselves
    values, ends = offline(tested, 60.0, 30.0)
    whole = None, ends, model.predict(values).astype(np.float32)
    rates = {m: RATES[m] for m in signals}
    same(predicted(model, replay(tested, rates, chunk=chunk), hop=30.0), whole)
