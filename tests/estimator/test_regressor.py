"""`MPCLRegressor`: what it takes, what it returns, and that it keeps its promises on unusual input."""

import importlib
import io
import pathlib
import pickle
import shutil
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from adaptation_fixture import with_memory
from python_process import python
from run_fixture import SMALL_MODEL
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mpcl_jax as mpcl
from mpcl_jax.runs import predict as runs_predict
from mpcl_jax.runs import programs
from mpcl_jax.train import devices
from mpcl_jax.types import take

pytestmark = pytest.mark.usefixtures("quick_programs")
SMALL = {
    "epochs": 2,
    "width": 8,
    "n_prototypes": 2,
    "batch_size": 16,
    "early_stopping": False,
    "settings": {"model.tokens": 1, **SMALL_MODEL},
}
COLUMNS = {"eda": ["eda_level", "eda_rate"], "face": ["smile", "frown", "brow"]}
EMOTIONS = ["joy", "calm", "fear"]


def study(seed=0, subjects=4, trials=6):
    """A table of windows with labels that depend on a column of each modality."""
    rng = np.random.default_rng(seed)
    count = subjects * trials
    x = rng.normal(size=(count, 5))
    scores = np.exp(np.stack([x[:, 0], x[:, 2], rng.normal(size=count)], axis=1))
    frame = pd.DataFrame(x, columns=sum(COLUMNS.values(), []))
    labels = pd.DataFrame(scores / scores.sum(1, keepdims=True), columns=EMOTIONS)
    return frame, labels, np.repeat([f"S{i}" for i in range(subjects)], trials)


def arrays(frame):
    return {m: frame[own].to_numpy() for m, own in COLUMNS.items()}


@pytest.fixture(scope="module")
def fitted():
    frame, labels, subject = study()
    return mpcl.MPCLRegressor(modalities=COLUMNS, **SMALL).fit(frame, labels, groups=subject)


def test_the_import_is_quick_and_loads_no_jax():
    code = "import mpcl_jax, sys; assert not {'jax', 'sklearn', 'numpy'} & set(sys.modules); print(dir(mpcl_jax))"
    shown = python("-c", code).stdout
    assert "MPCLRegressor" in shown and "evaluate" in shown
    folders = {path.name for path in pathlib.Path(mpcl.__file__).parent.iterdir()}
    for name in folders & set(mpcl.__all__):  # once imported, the folder replaces the function
        assert callable(importlib.import_module(f"mpcl_jax.{name}"))
    assert all(getattr(mpcl, name) is not None for name in mpcl.__all__)
    with pytest.raises(AttributeError, match="public names: ConfigError"):
        mpcl.Regressor  # noqa: B018


def test_every_form_of_the_same_data_gives_the_same_predictions(fitted):
    frame, labels, subject = study()
    wanted = fitted.predict(frame)
    assert wanted.shape == (24, 3) and np.allclose(wanted.sum(1), 1)
    assert fitted.emotions_ == tuple(EMOTIONS) and fitted.modalities_ == ("eda", "face")
    groups = {"eda": "physiological", "face": "behavioural"}
    ids = {"subject": subject, "trial": np.arange(24).astype(str)}
    whole = mpcl.from_arrays(arrays(frame), labels, **ids)
    assert whole.groups == groups
    table = frame.assign(**labels, sid=subject, trial=ids["trial"])
    same = mpcl.from_dataframe(table, labels=EMOTIONS, modalities=COLUMNS, subject="sid", trial="trial")
    by_number = mpcl.MPCLRegressor(modalities={"eda": [0, 1], "face": [2, 3, 4]}, emotions=EMOTIONS, **SMALL)
    models = [
        mpcl.MPCLRegressor(**SMALL).fit(arrays(frame), labels, groups=subject),
        mpcl.MPCLRegressor(**SMALL).fit(whole),
        mpcl.MPCLRegressor(**SMALL).fit(same),
        by_number.fit(frame.to_numpy(), labels.to_numpy(), groups=subject),
    ]
    for model, x in zip(models, (arrays(frame), whole, same, frame.to_numpy()), strict=True):
        np.testing.assert_array_equal(model.predict(x), wanted)
    np.testing.assert_array_equal(models[1].predict(arrays(frame)), wanted)  # fit got recordings
    short = arrays(frame) | {"face": np.ones((2, 3))}
    with pytest.raises(mpcl.DataError, match="24 rows in eda, 2 rows in face; wanted equal numbers"):
        models[1].predict(short)
    shuffled = frame[["brow", "eda_rate", "smile", "frown", "eda_level"]].assign(more=1.0)
    np.testing.assert_array_equal(fitted.predict(shuffled), wanted)  # columns are found by name
    np.testing.assert_allclose(fitted.predict(frame.iloc[[7]])[0], wanted[7], atol=1e-6)


def test_a_score_is_minus_the_mean_kl_and_training_lowers_it():
    frame, labels, subject = study(subjects=8)
    model = mpcl.MPCLRegressor(
        modalities=COLUMNS,
        **SMALL | {"epochs": 60, "learning_rate": 0.01, "dropout": 0.1, "input_dropout": 0},
    ).fit(frame, labels, groups=subject)
    mean = labels.to_numpy().mean(0)
    of_mean = np.mean((labels * np.log(labels / mean)).sum(axis=1))
    assert -model.score(frame, labels) < 0.8 * of_mean
    assert model.history_[0][-1]["distribution"] < model.history_[0][0]["distribution"]
    assert model.prototypes_.shape == (2, 3, 2, 8) and model.cooccurrence_.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "floor", "labels", "wanted"),
    [
        ("auto", None, [[2, 2], [1, 3]], [[0.5, 0.5], [0.25, 0.75]]),
        ("ratings", 1, [[2, 4], [1, 5]], [[0.25, 0.75], [0, 1]]),
        ("auto", -3, [[-2, 0], [-3, 3]], [[0.25, 0.75], [0, 1]]),
        ("distribution", None, [[25, 75], [50, 50]], [[0.25, 0.75], [0.5, 0.5]]),
        ("multi_hot", None, [[1, 1], [0, 1]], [[0.5, 0.5], [0, 1]]),
        ("counts", None, [[0, 4], [1, 3]], [[0, 1], [0.25, 0.75]]),
    ],
)
def test_labels_become_distributions(kind, floor, labels, wanted):
    data = mpcl.from_arrays({"eda": np.eye(2)}, labels, subject=["a", "b"], label_kind=kind, floor=floor)
    np.testing.assert_allclose(data.labels, wanted, atol=1e-7)


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        ([[0.2, 0.8], [0.5, 0.5]], "read as distributions"),
        ([[20, 80], [50, 50]], "read as distributions"),
        ([[1, 1], [0, 1]], "read as multi_hot"),
        ([[0, 7], [1, 2]], "read as counts"),
        ([[0.3, 7], [1, 2]], "read as counts"),
        ([[1, 7], [1, 2]], "read as counts"),
    ],
)
def test_a_note_says_how_labels_were_read(labels, note, recwarn):
    given = {"signals": {"eda": np.eye(2)}, "labels": labels, "subject": ["a", "b"]}
    (found,) = mpcl.from_arrays(**given).notes
    assert note in found
    ambiguous = [str(x.message) for x in recwarn if "If they are ratings, give floor=1" in str(x.message)]
    assert len(ambiguous) == (labels == [[1, 7], [1, 2]]) and all(x.filename == __file__ for x in recwarn)
    assert not mpcl.from_arrays(**given, label_kind="counts").notes
    assert not mpcl.from_arrays(**given, floor=0).notes


def test_two_reports_in_one_trial_are_refused(fitted):
    frame, labels, subject = study()
    trial = np.arange(24) // 2 % 3
    words = "rows 0 and 1 have different reports, but a trial has one report; correct the row, or give each report"
    of_first = rf"subject 'S0', trial 'S0/0': {words}"
    table = frame.assign(**labels, sid=subject, clip=trial)
    recordings = mpcl.from_arrays(arrays(frame), labels, subject=subject, trial=np.arange(24))
    names = [f"{s}/{t}" for s, t in zip(subject, trial, strict=True)]
    recordings = recordings._replace(trial=np.array(names))
    model = mpcl.MPCLRegressor(**SMALL)
    columns = {"labels": EMOTIONS, "modalities": COLUMNS, "subject": "sid", "trial": "clip"}
    ids = {"subject": subject, "trial": trial}
    for call, message in (
        (lambda: mpcl.from_arrays(arrays(frame), labels, **ids), f"labels: {of_first}"),
        (lambda: mpcl.from_dataframe(table, **columns), f"labels: {of_first}"),
        (lambda: model.fit(arrays(frame), labels, groups=subject, trial=trial), f"Y: {of_first}"),
        (lambda: model.fit(arrays(frame), labels, trial=trial), f"Y: without groups, trial '0': {words}"),
        (lambda: mpcl.evaluate("ridge", recordings, "subject_kfold", folds=2), f"arrays: {of_first}"),
        (lambda: fitted.adapt(frame, labels, trial=trial), f"Y: trial '0': {words}"),
    ):
        with pytest.raises(mpcl.DataError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_missing_values_modalities_and_rows(fitted):
    frame, _, _ = study()
    missing = {m: x.copy() for m, x in arrays(frame.iloc[:4]).items()}
    missing["eda"][0], missing["face"][1], missing["eda"][2, 0] = np.nan, np.nan, np.nan
    empty = frame.iloc[:4].copy()
    empty.iloc[3] = np.nan
    shares = fitted.predict(empty)
    np.testing.assert_array_equal(shares[3], fitted.mean_label_)  # a row without any value
    explained = fitted.explain(empty)
    assert explained.known.tolist() == [True, True, True, False]
    np.testing.assert_allclose(explained.predicted, shares, atol=1e-6)
    assert explained.prototypes[:3].sum((1, 2, 3)) == pytest.approx(1, abs=1e-4)
    assert (explained.modality[:3] >= 0).all() and not explained.modality[3].any()
    strict = clone(fitted).set_params(modalities=None, missing_rows="error")
    strict.fit(arrays(frame), study()[1])
    assert np.isfinite(strict.predict(missing)).all()
    assert np.isfinite(strict.predict({"face": missing["face"][[0, 2]]})).all()
    with pytest.raises(mpcl.DataError, match="row 1 has no value in any modality"):
        strict.predict({"face": missing["face"]})


def test_values_far_outside_the_training_range_are_named(fitted):
    frame, _, _ = study()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.predict(frame)
    for level in (1000 * frame["eda_level"], frame["eda_level"] + 99):
        with pytest.warns(UserWarning, match=r"eda: a typical row lies .* eda_level is .*Check the units"):
            fitted.predict(frame.assign(eda_level=level))


def test_reversed_columns_without_names_are_noticed_by_their_ranges():
    frame, labels, _ = study()
    frame = frame.assign(eda_level=5 + frame["eda_level"], eda_rate=frame["eda_rate"] / 100)
    wrong = frame[[*COLUMNS["eda"][::-1], *COLUMNS["face"]]]
    by_dict = mpcl.MPCLRegressor(**SMALL).fit(arrays(frame), labels)
    by_array = mpcl.MPCLRegressor(**SMALL).fit(frame.to_numpy(), labels)
    with pytest.warns(UserWarning, match="eda: a typical row .* feature 1 is .* the order of the columns"):
        by_dict.predict({"eda": wrong.to_numpy()[:, :2]})
    with pytest.warns(UserWarning, match="features: a typical row .* widths .* order of the columns"):
        by_array.predict(wrong.to_numpy())
    by_name = mpcl.MPCLRegressor(**SMALL).fit(frame, labels)
    with pytest.raises(ValueError, match="must be in the same order as they were in fit"):
        by_name.predict(wrong)


def test_several_seeds_are_averaged_and_a_warm_start_goes_on():
    frame, labels, _ = study()
    x = arrays(frame)
    both = mpcl.MPCLRegressor(n_seeds=2, **SMALL).fit(x, labels)
    model, other = (mpcl.MPCLRegressor(seed=seed, warm_start=True, **SMALL).fit(x, labels) for seed in (0, 1))
    alone = [model.predict(x), other.predict(x)]
    np.testing.assert_allclose(both.predict(x), np.mean(alone, axis=0), atol=1e-6)
    begun = model.history_[0][0]["loss"]
    assert model.fit(x, labels).history_[0][0]["loss"] < begun


def test_a_warm_start_wants_the_shapes_and_emotions_of_the_fit_before():
    frame, labels, subject = study()
    model = mpcl.MPCLRegressor(warm_start=True, **SMALL).fit(arrays(frame), labels)
    before = model.predict(arrays(frame))
    with pytest.raises(mpcl.DataError, match="warm_start: continues a fit with other modalities"):
        model.fit({"eda": frame[["smile"]].to_numpy()}, labels)
    with pytest.raises(mpcl.DataError, match="warm_start: continues a fit on joy, calm, fear, Y holds fear"):
        model.fit(arrays(frame), labels[EMOTIONS[::-1]])
    np.testing.assert_array_equal(model.predict(arrays(frame)), before)


def test_any_name_of_a_modality_can_be_saved(tmp_path):
    frame, labels, _ = study()
    x = {name: frame[[column]].to_numpy() for name, column in zip(("a.b", "x/y", "µS"), frame, strict=False)}
    model = mpcl.MPCLRegressor(**SMALL, emotions=["a,b", "c\nd", "é"]).fit(x, labels.to_numpy())
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(mpcl.load(tmp_path / "model").predict(x), model.predict(x))


def test_early_stopping_keeps_groups_whole_and_stops_where_nothing_can_be_learned():
    rng, (frame, labels, subject) = np.random.default_rng(0), study(subjects=6)
    nothing = labels.sample(frac=1, random_state=0).to_numpy()
    model = mpcl.MPCLRegressor(**SMALL | {"early_stopping": True, "epochs": 8})
    model.fit({"eda": rng.normal(size=(36, 4))}, nothing, groups=subject)
    assert model.n_epochs_ < 8 and "inner folds" in model._fits[0].choice
    held = mpcl.MPCLRegressor(**SMALL | {"early_stopping": True, "validation_fraction": 0.3})
    held.fit(arrays(frame), labels, groups=subject)
    assert "validation_kl" in held.history_[0][0] and held.n_epochs_ in (1, 2)


def test_a_saved_model_predicts_the_same_and_needs_no_pickle(fitted, tmp_path, capsys):
    from mpcl_jax.cli.__main__ import run
    from mpcl_jax.data.tables.write_folder import write_folder

    frame, labels, _ = study()
    adapted = with_memory(fitted).adapt(frame.iloc[:3], labels.iloc[:3])
    adapted.save(tmp_path / "model")
    for copied in (mpcl.load(tmp_path / "model"), pickle.loads(pickle.dumps(adapted))):
        np.testing.assert_array_equal(copied.predict(frame), adapted.predict(frame))
        assert copied.get_params() == adapted.get_params() and copied.emotions_ == adapted.emotions_
    joblib.dump(adapted, tmp_path / "model.joblib")
    found = joblib.load(tmp_path / "model.joblib").predict(frame)
    np.testing.assert_array_equal(found, adapted.predict(frame))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "24 windows of 4 subjects" in card and "joy, calm, fear" in card
    assert "- personal memory off" in card or "- personal memory on" in card
    with pytest.raises(mpcl.DataError, match="folder: is int; wanted the path"):
        fitted.save(3)
    with pytest.raises(mpcl.DataError, match="exists already"):
        fitted.save(tmp_path / "model")
    assert run(["inspect", str(tmp_path / "model")]) == 0 and "joy" in capsys.readouterr().out
    ids = {"subject": np.repeat(["a", "b"], 12).tolist(), "trial": np.arange(24)}
    recordings = mpcl.from_arrays(arrays(frame), labels, **ids)
    write_folder(recordings, tmp_path / "data", [])
    assert run(["predict", str(tmp_path / "model"), str(tmp_path / "data")]) == 0
    shown = pd.read_csv(io.StringIO(capsys.readouterr().out)).filter(like="predicted_")
    np.testing.assert_allclose(shown, adapted.predict(frame), atol=1e-6)
    for wrong, message in (
        (tmp_path / "none", "does not exist; wanted a folder"),
        (tmp_path, "holds no model.json; wanted a folder"),
        (None, "folder: is NoneType"),
    ):
        with pytest.raises(mpcl.DataError, match=message):
            mpcl.load(wrong)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("model.json", "{", "Expecting property name"),
        ("model.json", "{}", "lacks 'parameters'"),
        ("model.json", '{"parameters": {"labels": "auto"}}', "labels: no such argument here"),
        ("data.json", "[]", "is no JSON object"),
        ("config.json", None, "No such file"),
        ("config.json", '{"model": {"width": -3}}', "config.model.width = -3"),
        ("model.npz", "damaged", "is not a readable .npz file"),
        ("folds", None, "holds no whole checkpoint"),
    ],
)
def test_a_damaged_part_of_a_saved_model_is_named(fitted, tmp_path, file, content, reason):
    fitted.save(tmp_path / "model")
    part = tmp_path / "model" / file
    if content is not None:
        part.write_text(content)
    elif part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink()
    message = rf"model/{file}.*: is no whole part of a saved model \(.*{reason}.*\); copy the whole folder"
    with pytest.raises(mpcl.DataError, match=message) as caught:
        mpcl.load(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_the_commands_name_a_damaged_saved_model(fitted, tmp_path, capsys):
    from mpcl_jax.cli.__main__ import run

    fitted.save(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text("{")
    assert run(["predict", str(tmp_path / "model"), str(tmp_path)]) == 2
    (tmp_path / "model" / "data.json").write_text("{")
    assert run(["inspect", str(tmp_path / "model")]) == 2
    config, data = capsys.readouterr().err.splitlines()
    assert "model/config.json: is no whole part of a saved model" in config and "save the model" in config
    assert "model/data.json: is no JSON" in data


def test_a_second_process_predicts_the_same_without_scikit_learn_and_training(fitted, tmp_path, monkeypatch):
    frame, labels, _ = study()
    fitted.save(tmp_path / "model")
    mpcl.MPCLRegressor(**SMALL).fit(frame.to_numpy(), labels).save(tmp_path / "of_array")
    monkeypatch.setattr(programs, "compiled", devices.compiled)  # as in that process
    monkeypatch.setattr(runs_predict, "functions_of", runs_predict.functions_of.__wrapped__)
    predicted = mpcl.load(tmp_path / "model").predict(frame)  # keeps the program
    of_array = mpcl.load(tmp_path / "of_array").predict(frame.to_numpy())
    np.savez(tmp_path / "both.npz", x=frame.to_numpy(), y=predicted, z=of_array)
    code = f"""
import sys, numpy, pandas, mpcl_jax
both = numpy.load("both.npz")
model, of_array = mpcl_jax.load("model"), mpcl_jax.load("of_array")
predicted = model.predict(pandas.DataFrame(both["x"], columns={list(frame)}))
numpy.testing.assert_array_equal(predicted, both["y"])
numpy.testing.assert_array_equal(of_array.predict(both["x"]), both["z"])
assert not {{"chex", "flax", "optax", "orbax", "scipy.special", "sklearn"}} & set(sys.modules)
# The first use of what scikit-learn adds makes a regressor of it.
import pickle
from sklearn.base import BaseEstimator, clone, is_regressor
numpy.testing.assert_array_equal(pickle.loads(pickle.dumps(of_array)).predict(both["x"]), both["z"])
assert isinstance(model, mpcl_jax.MPCLRegressor)
for use in (clone, is_regressor, repr, lambda one: one.get_params()):
    loaded = mpcl_jax.load("of_array")
    assert use(loaded) and isinstance(loaded, BaseEstimator)
"""
    python("-c", code, cwd=tmp_path)


def test_a_platform_that_jax_does_not_know_is_one_line():
    code = """
import numpy, mpcl_jax
x, y, short = numpy.ones((8, 2)), numpy.ones((8, 3)), {"epochs": 1, "early_stopping": False}
for call in (
    lambda: mpcl_jax.MPCLRegressor(**short).fit(x, y),
    lambda: mpcl_jax.evaluate("ridge", mpcl_jax.load_dataset("simulated", subjects=2, clips=2, windows=1)),
):
    try:
        call()
    except mpcl_jax.ConfigError as error:
        print(error)
"""
    lines = python("-c", code, JAX_PLATFORMS="foo").stdout.splitlines()
    assert len(lines) == 2 and all(x.startswith("JAX_PLATFORMS = 'foo' cannot be used (") for x in lines)


def test_reports_are_found_by_the_names_of_emotions(fitted):
    frame, labels, _ = study()
    other = labels[["fear", "joy", "calm"]]
    assert fitted.score(frame, other) == fitted.score(frame, labels)
    wanted = fitted.adapt(frame, labels).predict(frame)
    np.testing.assert_array_equal(fitted.adapt(frame, other).predict(frame), wanted)
    for function in (fitted.score, fitted.adapt):
        for y in (labels[:3], labels.to_numpy()[:, :2]):
            with pytest.raises(mpcl.DataError, match=r"Y: has shape .*; wanted \(24, 3\): .* joy, calm"):
                function(frame, y)
    with pytest.raises(mpcl.DataError, match="trial: has shape"):
        fitted.adapt(frame, labels, trial=["a", "b"])


def test_scikit_learn_searches_and_pipelines(tmp_path):
    frame, labels, subject = study()
    pipeline = make_pipeline(StandardScaler(), mpcl.MPCLRegressor(**SMALL))
    grid = {"mpclregressor__seed": [0, 1]}
    every = np.arange(24)  # in both parts: one program serves the search, its last fit and the table below
    search = GridSearchCV(pipeline, grid, cv=[(every, every)], error_score="raise")
    search.fit(frame.to_numpy(), labels.to_numpy())
    assert search.best_score_ < 0 and search.predict(frame.to_numpy()).shape == (24, 3)
    assert len(repr(mpcl.MPCLRegressor(epochs=3))) < 60
    assert "MPCLRegressor" in mpcl.MPCLRegressor()._repr_html_()


def test_raw_signals_become_features_by_their_rate(monkeypatch):
    rng = np.random.default_rng(0)
    raw, labels = 2 + rng.random((12, 240, 1)).cumsum(1) / 100, rng.random((12, 3))
    with warnings.catch_warnings(), pytest.raises(UserWarning, match="look like raw samples"):
        warnings.simplefilter("error")
        mpcl.MPCLRegressor(**SMALL).fit({"eda": raw}, labels)
    with pytest.raises(mpcl.DataError, match=r"\[windows, 240\], read as features; .* X\['eda'\]"):
        mpcl.MPCLRegressor(rates=4, **SMALL).fit({"eda": raw[..., 0]}, labels)
    with pytest.raises(mpcl.DataError, match="rates: holds 'fast' for 'eda'"):
        mpcl.MPCLRegressor(rates={"eda": "fast"}, **SMALL).fit({"eda": raw}, labels)
    for parameters, message in (
        ({"kinds": {"eda": "eda"}}, "kinds: names 'eda', but a kind needs raw samples"),
        ({"kinds": ["eda"]}, r"kinds: is \['eda'\]; wanted a dict"),
    ):
        with pytest.raises(mpcl.DataError, match=message):
            mpcl.MPCLRegressor(**parameters, **SMALL).fit({"eda": raw[:, :9]}, labels)
    with pytest.raises(mpcl.DataError, match="rates: is for raw samples, .* X is a table of features"):
        mpcl.MPCLRegressor(rates=4, **SMALL).fit(raw[:, :5, 0], labels)
    model = mpcl.MPCLRegressor(rates={"eda": 4}, **SMALL).fit({"eda": raw}, labels)
    features, _, names = mpcl.features.of_windows(raw, 4, "eda")
    assert model._spec.shapes == {"eda": (1, len(names))} and features.shape == (12, len(names))
    assert model.predict({"eda": raw[:2]}).shape == (2, 3)

    def training(config, recordings, *_, **__):
        raise RuntimeError(f"trained on {recordings.signals['eda'].shape}")

    monkeypatch.setattr("mpcl_jax.train.in_memory.fit", training)
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match=r"trained on \(12, 240, 1\)"):
        warnings.simplefilter("error")
        mpcl.MPCLRegressor(raw=True, **SMALL).fit({"eda": raw}, labels)


def test_raw_signals_become_features_in_recordings_too():
    rng = np.random.default_rng(0)
    raw, labels = 2 + rng.random((12, 240, 1)).cumsum(1) / 100, rng.random((12, 3))
    given = {"labels": labels, "subject": np.arange(12) // 6}
    with pytest.warns(UserWarning, match="eda: 240 values .* look like raw samples") as caught:
        mpcl.from_arrays({"eda": raw}, **given)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="temp: rates is not used for fewer than 32 values"):
        held = mpcl.from_arrays({"eda": raw, "temp": raw[:, :20]}, rates={"eda": 4, "temp": 1}, **given)
    features, _, names = mpcl.features.of_windows(raw, 4, "eda")
    np.testing.assert_allclose(held.signals["eda"][:, 0], features, rtol=1e-3, atol=1e-5)
    with pytest.raises(mpcl.DataError, match="rates: is for arrays; give it to from_arrays"):
        mpcl.MPCLRegressor(rates=4, **SMALL).fit(held)


FRAME = study()[0]
MISTAKES = {
    "epochs = 0": ({"epochs": 0}, {}),
    "width = 'wide'": ({"width": "wide"}, {}),
    "config.model.widht": ({"settings": {"model.widht": 3}}, {}),
    "early_stopping = 'yes'": ({"early_stopping": "yes"}, {}),
    "validation_fraction = 2": ({"validation_fraction": 2}, {}),
    "validation_fraction = 'a'": ({"validation_fraction": "a"}, {}),
    "n_seeds: is 0": ({"n_seeds": 0}, {}),
    "Y: row 2 is not finite": ({}, {"Y": np.array([[1, 2]] * 2 + [[np.nan, 1]] * 22)}),
    "negative; give floor": ({}, {"Y": -np.ones((24, 2))}),
    "at least two emotions": ({}, {"Y": np.ones((24, 1))}),
    "Y: has 23 rows, X has 24": ({}, {"Y": np.ones((23, 2))}),
    "groups: has shape": ({}, {"groups": ["a"] * 3}),
    "groups: row 0 is missing": ({}, {"groups": [np.nan] * 12 + ["a"] * 12}),  # not a subject "nan"
    "groups: row 1 is missing": ({}, {"groups": pd.array(["a", None] * 12, dtype="string")}),
    "groups: is generator": ({}, {"groups": (x for x in "ab")}),
    r"Y: has the index of X\['eda'\] in another order": ({}, {"X": {"eda": FRAME}, "Y": study()[1][::-1]}),
    "groups: has the index of Y in another order": ({}, {"groups": pd.Series(study()[2])[::-1]}),
    r"modalities\['eda'\]: is slice": ({"modalities": {"eda": slice(2)}}, {"X": np.ones((24, 2))}),
    "names column 0.5": ({"modalities": {"eda": [0.5]}}, {"X": np.ones((24, 2))}),
    "X: is 'study.csv', the name of a file; read it first": ({}, {"X": "study.csv"}),
    "holds datetime64": ({}, {"X": {"eda": FRAME.assign(date=pd.Timestamp("2020"))}}),
    "holds timedelta": ({}, {"X": {"eda": np.ones((24, 2), "m8[s]")}}),
    "Y: row 1 is not finite": ({}, {"Y": pd.DataFrame({"a": pd.array([1, None] * 12), "b": 1})}),
    "floor: is '1'": ({"floor": "1"}, {}),
    "emotions: is 3": ({"emotions": 3}, {}),
    "emotions: is 'abc'": ({"emotions": "abc"}, {}),
    "settings: 'data.kind' has no effect here": ({"settings": {"data.kind": "wesad"}}, {}),
    "settings = ": ({"settings": ["model.tokens"]}, {}),
    "callbacks: is 5": ({"callbacks": 5}, {}),
    "emotions: holds 2 names; wanted 3": ({"emotions": ["a", "b"]}, {}),
    "emotions: name 1 is blank": ({"emotions": ["a", " ", "b"]}, {}),
    "emotions: 'A ' is there twice": ({"emotions": ["a", "A ", "b"]}, {}),
    "valence: has no entry for 'calm'": ({"valence": {"joy": "+"}}, {}),
    "modality_groups: names 'eeg'": ({"modality_groups": {"eeg": "physiological"}}, {}),
    "modalities: divides one table": ({"modalities": COLUMNS}, {}),
    "rates: names 'eeg'": ({"rates": {"eeg": 3}}, {}),
    r"X\['face'\]: cannot be read as numbers": ({}, {"X": {"face": np.array([["a"]] * 24)}}),
    "X, row 3: feature 0 is 1e": ({}, {"X": np.where(np.arange(24)[:, None] == 3, 1e38, FRAME.to_numpy())}),
    r"X\['face'\], row 0: feature 0 is inf": ({}, {"X": {"face": np.full((24, 1), np.inf)}}),
    "label_kind: is 'shares'; wanted 'auto'": ({"label_kind": "shares"}, {}),
    "labels: no such argument here; use label_kind": ({"labels": "ratings"}, {}),
    "groups: no such argument here; use modality_groups": ({"groups": {"eda": "physiological"}}, {}),
    "random_state: no such argument here; use seed": ({"random_state": 0}, {}),
    r"groups: is 'sid'; wanted \[N\] ids, .* table\['sid'\]": ({}, {"groups": "sid"}),
    "modality_groups: is list": ({"modality_groups": ["eda"]}, {}),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_one_line_that_names_it(message):
    frame, labels, _ = study()
    parameters, changed = MISTAKES[message]
    data = {"X": arrays(frame), "Y": labels} | changed
    with pytest.raises((mpcl.DataError, mpcl.ConfigError), match=message) as caught:
        mpcl.MPCLRegressor(**SMALL | parameters).fit(**data)
    assert "\n" not in str(caught.value) and isinstance(caught.value, ValueError)


class OtherFrame:
    """A table of another library than pandas, for example Polars."""

    def __init__(self, frame):
        self.columns, self._x = list(frame.columns), frame.to_numpy()

    def __array__(self, dtype=None, copy=None):
        return self._x if dtype is None else self._x.astype(dtype)


def test_tables_of_other_libraries_are_read_by_name(fitted):
    frame, labels, _ = study()
    other = OtherFrame(frame[frame.columns[::-1]])
    np.testing.assert_array_equal(fitted.predict(other), fitted.predict(frame))
    by_dict = mpcl.MPCLRegressor(**SMALL).fit({m: frame[own] for m, own in COLUMNS.items()}, labels)
    reversed_columns = {m: OtherFrame(frame[own[::-1]]) for m, own in COLUMNS.items()}
    np.testing.assert_array_equal(by_dict.predict(reversed_columns), by_dict.predict(arrays(frame)))


def test_a_mistake_in_a_prediction_is_named(fitted):
    frame, labels, _ = study()
    by_dict = mpcl.MPCLRegressor(**SMALL).fit({m: frame[own] for m, own in COLUMNS.items()}, labels)
    known = {m: frame[own[::-1]] for m, own in COLUMNS.items()}
    np.testing.assert_array_equal(by_dict.predict(known), by_dict.predict(arrays(frame)))  # by name
    masked = np.ma.masked_less(arrays(frame)["eda"], 0)
    found = by_dict.predict({"eda": masked})
    np.testing.assert_array_equal(found, by_dict.predict({"eda": masked.filled(np.nan)}))
    for wrong, message in (
        (frame, r"X: is DataFrame; fit got a dict; .* of fit: {'eda': \[N, 2\], 'face': \[N, 3\]}"),
        ({}, "X: is empty"),
        ({"eeg": masked}, r"X\['eeg'\]: is an unknown modality; fit got eda, face"),
        ({"eda": np.full((1, 2), np.inf)}, "eda: window 0, feature 0 is inf"),
        ({"eda": np.ones((1, 3))}, r"X\['eda'\]: has 1 × 3 values per row .*; fit got 1 × 2"),
        ({"eda": np.ones(2)}, r"for one feature per window give X\['eda'\]\[:, None\]"),
        ({"face": frame[["smile", "brow"]]}, "has 0 columns 'frown'; fit got smile, frown, brow"),
    ):
        with pytest.raises(mpcl.DataError, match=message):
            by_dict.predict(wrong)
    of_recordings = mpcl.MPCLRegressor(**SMALL).fit(mpcl.from_arrays(arrays(frame), labels, subject="a"))
    with pytest.raises(mpcl.DataError, match="X: is DataFrame; fit got recordings; give a dict, modality"):
        of_recordings.predict(frame)
    ratings = np.random.default_rng(0).integers(1, 8, size=(24, 3))
    with pytest.raises(mpcl.DataError, match=r"Y: holds whole numbers from 1, .* set_params\(floor=1\)"):
        of_recordings.score(arrays(frame), ratings)
    assert of_recordings.set_params(floor=0.5).score(arrays(frame), ratings) < 0
    for wrong, message in (
        (
            frame.drop(columns="smile").rename(columns={"frown": "smiles"}),
            "column 'smile': is not in the table",
        ),
        (arrays(frame), "X: is dict; fit got one table or array; give one with the columns eda_level"),
        (frame.assign(smile="x"), "column 'smile': holds .*'x'"),
    ):
        with pytest.raises(mpcl.DataError, match=message):
            fitted.predict(wrong)
    table = mpcl.MPCLRegressor(**SMALL).fit(frame.to_numpy(), labels)
    hidden = np.ma.masked_less(frame.to_numpy(), 0)
    np.testing.assert_array_equal(table.predict(hidden), table.predict(hidden.filled(np.nan)))
    for wrong, message in (
        (frame.to_numpy()[0], "X: Expected 2D array, got 1D array instead. Reshape your data"),
        (frame.to_numpy()[:, :2], "X: X has 2 features, but MPCLRegressor is expecting 5"),
        (np.array(1.0), "X: Expected 2D array, got scalar array instead"),
    ):
        with pytest.raises(mpcl.DataError, match=message):
            table.predict(wrong)
    for weights in (np.ones(3), -np.ones(24), np.zeros(24), ["a"] * 24):
        with pytest.raises(mpcl.DataError, match="sample_weight: "):
            table.score(frame.to_numpy(), labels, sample_weight=weights)
    with pytest.raises(mpcl.DataError, match="groups: is for models with per_subject_standardise"):
        fitted.predict(frame, groups=["a"] * 24)
    with pytest.raises(mpcl.DataError, match="trial: has shape"):
        with_memory(fitted).adapt(frame[:3], labels[:3]).predict(frame, trial=["a", "b"])
    with pytest.raises(NotFittedError):
        mpcl.MPCLRegressor().predict(frame)
    with pytest.raises(mpcl.DataError, match="belongs to the recordings"):
        recordings = mpcl.load_dataset("simulated", subjects=2, clips=2, windows=1)
        mpcl.MPCLRegressor().fit(take(recordings, np.arange(2)), labels)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"modalities": ["smile"]}, r"modalities: is \['smile'\]; wanted a dict"),
        ({"modalities": {"face": ["smile", "clip"]}, "trial": "clip"}, "column 'clip': is used twice"),
        ({"labels": ["joy", "joy"]}, "column 'joy': is used twice"),
        ({"labels": "joy"}, r"labels: has shape \(24, 1\); wanted \[windows, emotions\]"),
        ({"subject": pd.Series(["a"] * 24)}, "a Series: was given in place of the name of a column"),
        ({"subject": ["sid"]}, "a list: was given in place"),
        ({"labels": 3}, "labels: is 3; wanted a list of columns"),
        ({"modalities": {"eda": 3}}, r"modalities\['eda'\]: is 3; wanted a list of columns"),
        ({"name": None}, "name: is None; wanted text"),
        ({"window_seconds": -1}, "window_seconds: is -1; wanted a number of seconds above 0"),
        ({"valence": 3}, "valence: wanted 3 names"),
        ({"frame": np.ones((24, 2))}, "frame: is ndarray; wanted a pandas DataFrame"),
        ({"frame": "study.csv"}, r"frame: is str; wanted a pandas DataFrame \(pandas.read_csv\(file\)\)"),
    ],
)
def test_a_mistake_in_a_table_is_one_line(wrong, message):
    frame, labels, subject = study()
    table = frame.assign(**labels, sid=subject, clip=np.arange(24))
    given = {"frame": table, "labels": EMOTIONS, "modalities": COLUMNS, "subject": "sid"} | wrong
    with pytest.raises(mpcl.DataError, match=message):
        mpcl.from_dataframe(given.pop("frame"), **given)


def test_load_dataset_takes_the_options_of_the_kind():
    recordings = mpcl.load_dataset("simulated", subjects=2, clips=3, windows=1, modalities=("gsr",))
    assert list(recordings.signals) == ["gsr"] and len(recordings.labels) == 6
    with pytest.raises(mpcl.ConfigError, match="subject.*did you mean.*subjects"):
        mpcl.load_dataset("simulated", subject=2)
    with pytest.raises(mpcl.ConfigError, match="kind = 'wesat': no such data set; did you mean 'wesad'\\?$"):
        mpcl.load_dataset("wesat")
    with pytest.raises(mpcl.ConfigError, match="sids: no such option of a folder"):
        mpcl.load_dataset("folder", "nowhere", sids=("S2",))
    with pytest.raises(mpcl.DataError, match="is not a folder"):
        mpcl.load_dataset("wesad", "nowhere")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "study.csv",
            r"'study.csv' is no name of a data set.*give pandas.read_csv\('study.csv'\) to from_dataframe",
        ),
        (pathlib.Path("my/data"), r"load_dataset\('folder', path='my/data'\)"),
        (pd.DataFrame(), "a DataFrame is no name of a data set.*belongs to from_dataframe"),
        ("WESAD", "no such data set; did you mean 'wesad'"),
    ],
)
def test_what_is_no_name_of_a_data_set_gets_the_call_that_is_meant(kind, message):
    with pytest.raises(mpcl.ConfigError, match=message):
        mpcl.load_dataset(kind)
