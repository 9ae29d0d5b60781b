"""Recordings without reports become the windows that a model predicts."""

import numpy as np
import pandas as pd
import pytest
from e4_fixture import RATES, e4_texts, streams, write_session
from import_fixture import read_in_process

from mpcl_jax.data.features import extract, names
from mpcl_jax.data.tables.reports import Options
from mpcl_jax.data.tables.unreported import read_unreported
from mpcl_jax.types import DataError, DataSpec

GROUPS = {"eda": "physiological", "bvp": "physiological", "face": "behavioural"}


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    read_in_process(monkeypatch)


def spec(**features):
    groups = {m: GROUPS[m] for m in features}
    shapes = {m: (1, f) for m, f in features.items()}
    return DataSpec(("joy", "fear"), ("positive", "negative"), groups, shapes)


@pytest.mark.parametrize("place", ["anna.zip", "anna"])
def test_an_e4_session_gives_the_features_of_its_windows(tmp_path, place):
    signals = streams(40)
    write_session(tmp_path / place, e4_texts(signals, tags=(5.0, 9.0)))
    wanted = spec(eda=len(names("eda")), bvp=len(names("bvp")))
    found = read_unreported(tmp_path / place, wanted, Options(window=10.0, step=10.0)).recordings
    assert list(found.signals) == ["eda", "bvp"] and set(found.subject) == {"anna"}
    own = {m: signals[m.upper()] for m in wanted.shapes}
    expected = extract(own, {m: RATES[m.upper()] for m in own}, 10.0)
    for m in own:
        np.testing.assert_allclose(found.signals[m][:, 0], expected.values[m], rtol=1e-4, atol=1e-4)


def test_rows_of_a_table_are_windows_by_columns_of_their_names(tmp_path):
    rng = np.random.default_rng(0)
    columns = [f"{m}_{i}" for m, f in (("eda", 2), ("face", 3), ("other", 1)) for i in range(f)]
    table = pd.DataFrame(rng.random((6, 6)), columns=columns)
    table.loc[2, ["face_0", "face_1", "face_2"]] = np.nan
    table["subject"], table["trial"] = list("aaabbb"), [1, 1, 2, 1, 2, 2]
    table.to_csv(tmp_path / "new.csv", index=False)
    found = read_unreported(tmp_path / "new.csv", spec(eda=2, face=3), Options()).recordings
    assert list(found.signals) == ["eda", "face"] and found.subject.tolist() == list("aaabbb")
    np.testing.assert_allclose(found.signals["eda"][:, 0], table[["eda_0", "eda_1"]], rtol=1e-6)
    assert found.present["face"].tolist() == [True, True, False, True, True, True]
    with pytest.raises(DataError, match=r"new.csv: face has 1 × 3 values per window .*; the model has 1 × 2"):
        read_unreported(tmp_path / "new.csv", spec(face=2), Options())
    with pytest.raises(DataError, match="has the modalities eda, face, other; the model has bvp"):
        read_unreported(tmp_path / "new.csv", spec(bvp=2), Options())


def test_rows_of_a_table_are_samples_where_a_rate_is_given(tmp_path):
    eda = 2 + np.random.default_rng(0).random(120)
    pd.DataFrame({"eda": eda, "trial": np.repeat(["a", "b"], 60)}).to_csv(tmp_path / "x.csv", index=False)
    options = Options(rate=4.0, window=5.0, step=5.0)
    found = read_unreported(tmp_path / "x.csv", spec(eda=len(names("eda"))), options).recordings
    expected = [extract({"eda": x}, 4.0, 5.0).values["eda"] for x in (eda[:60], eda[60:])]
    np.testing.assert_allclose(found.signals["eda"][:, 0], np.concatenate(expected), rtol=1e-5)
    assert found.trial.tolist() == ["x/a"] * 3 + ["x/b"] * 3


def test_an_npz_file_has_one_array_for_each_modality(tmp_path):
    x = np.random.default_rng(0).random((4, 2))
    np.savez(tmp_path / "anna.npz", eda=x)
    found = read_unreported(tmp_path / "anna.npz", spec(eda=2, face=3), Options()).recordings
    np.testing.assert_allclose(found.signals["eda"][:, 0], x, rtol=1e-6)
    assert list(found.signals) == ["eda"] and set(found.subject) == {"anna"}
    with pytest.raises(DataError, match="nothing.npz: does not exist"):
        read_unreported(tmp_path / "nothing.npz", spec(eda=2), Options())
