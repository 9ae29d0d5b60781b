"""An exported file predicts what the model predicts, runs without this package, and is not written otherwise."""

import json
import subprocess
import sys
import warnings
import zipfile

import jax.export
import numpy as np
import pytest
from adaptation_fixture import KERNEL, with_memory
from run_fixture import SMALL_MODEL
from tiny_model import quick_options

import mpcl_jax as mpcl
from mpcl_jax.cli import export as command
from mpcl_jax.export import write
from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS, MOST_RECALLED, QUERY, TIME, OtherSubjects
from mpcl_jax.runs.predict import open_model, predict

pytestmark = pytest.mark.usefixtures("quick_programs")
pytest.importorskip("flatbuffers", reason="jax.export writes its programs with flatbuffers")
SMALL = {"epochs": 1, "width": 8, "n_prototypes": 2, "early_stopping": False, "settings": SMALL_MODEL}
SHAPES = {"eda": (4,), "bvp": (3, 2), "face": (5,)}
NAMES = {"eda": "physiological", "bvp": "physiological", "face": "behavioural"}


def windows(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Far from mean 0 and sd 1, with missing values; every fourth window lacks `eda`."""
    rng = np.random.default_rng(seed)
    X = {m: rng.normal(1000, 0.5, size=(count, *shape)).astype(np.float32) for m, shape in SHAPES.items()}
    X["face"][::3, 0] = np.nan
    X["eda"][1::4] = np.nan
    return X


def with_other_subjects():
    """A kernel that holds the responses of three training subjects at five trials."""
    rng = np.random.default_rng(5)
    sizes = {FEATURES: 11, LOG_PROBS: 3, QUERY: 16, TIME: 1}
    views = {view: rng.normal(size=(5, size)) for view, size in sizes.items()}
    return KERNEL._replace(others=OtherSubjects(np.array([0, 0, 1, 1, 2]), views, rng.normal(size=(5, 3))))


def reports(count: int) -> np.ndarray:
    return np.random.default_rng(1).dirichlet(np.ones(3), count)


@pytest.fixture(scope="module")
def fitted():
    return mpcl.MPCLRegressor(**SMALL, n_seeds=2, modality_groups=NAMES).fit(windows(24), reports(24))


@pytest.fixture(scope="module")
def standardised():
    model = mpcl.MPCLRegressor(**SMALL, per_subject_standardise=True, missing_rows="error")
    return model.fit(windows(24), reports(24), groups=np.repeat(["a", "b"], 12))


def run_stablehlo(file, X):
    with zipfile.ZipFile(file) as opened:
        program = jax.export.deserialize(bytearray(opened.read("program.bin")))
    return np.asarray(jax.jit(program.call, compiler_options=quick_options())(X))


def run_onnx(file, X):
    onnxruntime = pytest.importorskip("onnxruntime", reason="pip install 'mpcl-jax[onnx]'")
    return onnxruntime.InferenceSession(file).run(None, X)[0]


def exported(model, file, **options):
    if file.suffix == ".onnx":
        pytest.importorskip("onnx", reason="pip install 'mpcl-jax[onnx]'")
    about = mpcl.export(model, file, **options)
    return about, (run_onnx if file.suffix == ".onnx" else run_stablehlo)


FORMATS = pytest.mark.parametrize("name", ["model.stablehlo", "model.onnx"])


@FORMATS
@pytest.mark.parametrize("adapted", [False, True])
def test_predicts_what_the_model_predicts(fitted, tmp_path, name, adapted):
    labels = reports(3)[[0, 0, 1, 1, 2]]
    able = with_memory(fitted, with_other_subjects())
    model = able.adapt(windows(5), labels, trial=list("aabbc")) if adapted else fitted
    about, run = exported(model, tmp_path / name, **({"subject": "anna"} if adapted else {}))
    assert about["largest_difference"] < 1e-6
    assert about.get("personal_memory") == ({"subject": "anna", "trials": 3} if adapted else None)
    for count in (1, 1000):
        X = windows(count, seed=2)
        for m in X:
            X[m][7:8] = np.nan  # no value at all: the mean label
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of values outside the training range
            np.testing.assert_allclose(run(tmp_path / name, X), model.predict(X), atol=1e-5)
    if adapted:
        assert np.abs(run(tmp_path / name, X) - fitted.predict(X)).max() > 1e-3


@FORMATS
def test_predicts_what_a_run_predicts_and_refuses_what_it_refuses(trained, tmp_path, name):
    folder = trained[0].workdir
    about, run = exported(folder, tmp_path / name)
    model, held = open_model(folder), trained[0].recordings
    X = {m: np.where(held.present[m][:, None, None], x, np.nan) for m, x in held.signals.items()}
    X = {m: x.reshape(-1, *about["inputs"][m]["shape"][1:]).astype(np.float32) for m, x in X.items()}
    expected = predict(model, held.signals, held.present)
    np.testing.assert_allclose(run(tmp_path / name, X), expected, atol=1e-5)
    first = next(iter(X))
    X = {m: x[:3].copy() for m, x in X.items()}
    X[first][0] = np.inf  # refused
    for m in X:
        X[m][1] = np.nan  # no value at all: refused, too
    found = run(tmp_path / name, X)
    assert np.isnan(found[:2]).all() and np.allclose(found[2], expected[2], atol=1e-5)


@FORMATS
def test_a_subject_is_standardised_by_the_windows_of_a_call(standardised, tmp_path, name):
    about, run = exported(standardised, tmp_path / name)
    assert "windows of one subject" in about["rules"]
    X = windows(40, seed=3)
    np.testing.assert_allclose(run(tmp_path / name, X), standardised.predict(X, groups="new"), atol=1e-5)
    few = run(tmp_path / name, {m: x[:9] for m, x in X.items()})
    assert np.isnan(few).all()  # `predict` refuses fewer than ten


def test_runs_without_this_package_by_the_code_in_its_header(fitted, tmp_path):
    about, _ = exported(fitted, tmp_path / "model.stablehlo")
    assert about["inputs"]["bvp"] == {"shape": ["rows", 3, 2], "type": "float32", "group": "physiological"}
    with zipfile.ZipFile(tmp_path / "model.stablehlo") as opened:
        assert json.loads(opened.read("about.json")) == about
    blocked = "import sys\nsys.modules['mpcl_jax'] = sys.modules['flax'] = None\n"
    code = f"{blocked}{about['code']}\nprint(json.dumps(shares.tolist()))"
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    X = {m: np.full((1, *shape), np.nan) for m, shape in SHAPES.items()} | {"eda": np.zeros((1, 4))}
    with pytest.warns(UserWarning, match="training range"):
        np.testing.assert_allclose(json.loads(ended.stdout), fitted.predict(X), atol=1e-5)


def test_the_header_of_onnx_has_code_that_runs(fitted, tmp_path, monkeypatch):
    about, _ = exported(fitted, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    held = {}
    exec(about["code"], held)
    assert held["about"]["emotions"] == list(fitted.emotions_) and held["shares"].shape == (1, 3)


def test_names_and_units_are_in_the_header(tmp_path):
    rng = np.random.default_rng(0)
    X = {"eda": 5 + rng.random((12, 40)), "face": rng.random((12, 2))}
    X["eda"] = X["eda"][..., None]
    model = mpcl.MPCLRegressor(**SMALL, rates={"eda": 4.0}).fit(X, reports(12))
    about, _ = exported(model, tmp_path / "model.stablehlo")
    eda = about["inputs"]["eda"]
    assert eda["features_of_signal"] == {"kind": "eda", "unit": "microsiemens, above 0", "rate": 4.0}
    assert len(eda["features"]) == eda["shape"][1]


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("model.bin", {}, "wanted .stablehlo or .onnx"),
        ("model.stablehlo", {"subject": "anna"}, "is for an adapted model"),
    ],
)
def test_wrong_arguments_are_one_line(fitted, tmp_path, path, options, reason):
    with pytest.raises(mpcl.DataError, match=reason):
        mpcl.export(fitted, tmp_path / path, **options)
    assert not list(tmp_path.iterdir())


def test_a_file_that_differs_from_the_model_is_not_written(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(write, "TOLERANCE", 0.0)
    with pytest.raises(mpcl.DataError, match="is not written: its predictions differ"):
        mpcl.export(fitted, tmp_path / "model.stablehlo")
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_file_with_the_memory_of_a_subject(fitted, tmp_path, capsys):
    from mpcl_jax.estimator.memory_file import checksum_of, save_memory

    model = with_memory(fitted, with_other_subjects())
    model.save(tmp_path / "saved")
    assert "holds residuals and views of 5 trials" in (tmp_path / "saved" / "README.md").read_text()
    adapted = model.adapt(windows(4), reports(4))
    checksum = checksum_of(model._open(), model.memory_.kernel)
    save_memory(tmp_path / "anna.npz", adapted._memories, "anna", checksum)
    file = tmp_path / "anna.stablehlo"
    words = [tmp_path / "saved", file, "--memory", tmp_path / "anna.npz"]
    assert command.run([*map(str, words)]) == 0, capsys.readouterr().err
    assert "input bvp: rows × 3 × 2\n" in capsys.readouterr().out
    X = windows(6, seed=4)
    np.testing.assert_allclose(run_stablehlo(file, X), adapted.predict(X), atol=1e-5)
    words = [tmp_path / "saved", file, "--memory", tmp_path / "nothing.npz"]
    assert command.run([*map(str, words)]) == 2
    assert "nothing.npz: does not exist" in capsys.readouterr().err


def test_a_memory_that_predict_does_not_use_as_a_whole_is_refused(fitted, tmp_path):
    count = MOST_RECALLED + 1
    model = with_memory(fitted).adapt(windows(count), reports(count))
    with pytest.raises(mpcl.DataError, match=f"holds {count} trials; a file holds at most {MOST_RECALLED}"):
        mpcl.export(model, tmp_path / "model.stablehlo")
    assert not list(tmp_path.iterdir())
