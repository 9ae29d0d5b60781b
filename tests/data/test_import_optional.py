"""EDF, BDF and Parquet files, read by the real MNE and pyarrow; skipped where these extras are not installed."""

import numpy as np
import pandas as pd
import pytest

from mpcl_jax.data.features import extract
from mpcl_jax.data.tables import edf, read_table
from mpcl_jax.data.tables.import_source import import_source
from mpcl_jax.data.tables.reports import Options
from mpcl_jax.data.tables.write_folder import write_folder
from mpcl_jax.data.validate import folder as validator

SECONDS, RATE = 40, 128
CHANNELS = {"eda": "EDA", "eeg": "EEG Fp1", "resp": "Resp"}
UNITS = {"EDA": "uS", "EEG Fp1": "uV", "Resp": "mV"}


@pytest.fixture(autouse=True)
def in_process(monkeypatch):
    """Reads files in this process: a guarded child imports MNE for each of them."""
    for module in (read_table, edf):
        monkeypatch.setattr(module, "run_guarded", lambda function, *args: function(*args))


def write_edf(path, signals, marks):
    """An EDF+ or BDF+ file: `signals` name -> [n] values in UNITS · `marks`: (onset, duration, name)."""
    size, kind = (3, "BDF") if path.suffix == ".bdf" else (2, "EDF")
    top, per_record = 2 ** (8 * size - 1) - 1, 60
    texts = "".join(f"+{at}\x15{length}\x14{name}\x14\0" for at, length, name in marks)
    names = [*signals, f"{kind} Annotations"]
    ends = {name: float(np.abs(x).max()) for name, x in signals.items()}
    fields = [
        [(name, 16) for name in names],
        [("", 80) for _ in names],
        [(UNITS.get(name, ""), 8) for name in names],
        [(f"{-ends.get(name, 1):.6f}"[:8], 8) for name in names],
        [(f"{ends.get(name, 1):.6f}"[:8], 8) for name in names],
        [(-top, 8) for _ in names],
        [(top, 8) for _ in names],
        [("", 80) for _ in names],
        [(RATE if name in signals else per_record, 8) for name in names],
        [("", 32) for _ in names],
    ]
    version = b"\xffBIOSEMI" if kind == "BDF" else b"0       "
    start = f"{'X X X X':<80}{'Startdate 01-MAY-2024 X X X':<80}01.05.2412.00.00{256 * (len(names) + 1):<8}"
    start += f"{f'{kind}+C':<44}{SECONDS:<8}{1:<8}{len(names):<4}"
    head = start + "".join(f"{value:<{width}}" for field in fields for value, width in field)
    with open(path, "wb") as file:
        file.write(version + head.encode())
        for second in range(SECONDS):
            for name, x in signals.items():
                digital = np.rint(x[second * RATE : (second + 1) * RATE] / ends[name] * top).astype("<i4")
                file.write(digital.view(np.uint8).reshape(-1, 4)[:, :size].tobytes())
            time = f"+{second}\x14\x14\0" + (texts if second == 0 else "")
            file.write(time.encode().ljust(per_record * size, b"\0"))


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_edf_and_bdf_files_keep_units_and_trials(tmp_path, suffix):
    pytest.importorskip("mne")
    t, rng = np.arange(SECONDS * RATE) / RATE, np.random.default_rng(0)
    signals = {"EDA": 5 + np.sin(t), "EEG Fp1": 20 * rng.normal(size=len(t)), "Resp": np.sin(1.9 * t)}
    (tmp_path / "data").mkdir()
    for subject, factor in (("sub-01", 1.0), ("sub-02", 1.5)):
        own = {name: factor * x for name, x in signals.items()}
        write_edf(tmp_path / "data" / f"{subject}{suffix}", own, [(0, 20, "sea"), (20, 20, "storm")])
    rows = [(s, t, 3, 1) for s in ("sub-01", "sub-02") for t in ("sea", "storm")]
    questions = pd.DataFrame(rows, columns=["subject", "trial", "joy", "fear"])
    questions.to_csv(tmp_path / "q.csv", index=False)
    options = Options(window=10.0, step=10.0, questionnaire=tmp_path / "q.csv")
    imported = import_source(tmp_path / "data", options)
    held = imported.recordings
    assert sorted(set(held.trial)) == [f"{s}/{t}" for s in ("sub-01", "sub-02") for t in ("sea", "storm")]
    wanted = extract({m: signals[name][:1280] for m, name in CHANNELS.items()}, RATE, 10.0)
    for m in CHANNELS:  # a wrong unit moves them by more than 2
        np.testing.assert_allclose(held.signals[m][0, 0], wanted.values[m][0], atol=0.05, rtol=0.01)
    write_folder(held, tmp_path / "out", imported.assumed)
    assert validator.examine(str(tmp_path / "out")).issues == ()
    first = tmp_path / "data" / f"sub-01{suffix}"
    first.write_bytes(first.read_bytes()[: -3 * (3 * RATE + 60) * (3 if suffix == ".bdf" else 2)])
    notes = " ".join(import_source(tmp_path / "data", options).assumed)
    assert f"MNE on sub-01{suffix}: Number of records from the header does not match" in notes


def test_parquet_is_read_like_csv(tmp_path):
    pytest.importorskip("pyarrow")
    rows = [(s, t, w) for s in ("007", "anna") for t in (1, 2, 3) for w in range(2)]
    frame = pd.DataFrame(rows, columns=["subject", "trial", "window"])
    frame["clip"] = pd.Categorical("clip" + frame["trial"].astype(str))
    frame["eda_level"], frame["eda_rate"] = np.arange(12.0), pd.array([None, *range(11)], dtype="Int64")
    frame["joy"], frame["fear"] = frame["trial"].astype("float32"), 2
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_csv(tmp_path / "x.csv", index=False)
    options = Options(labels=("joy", "fear"))
    parquet, csv = (import_source(tmp_path / f"x.{kind}", options).recordings for kind in ("parquet", "csv"))
    assert set(parquet.subject) == {"007", "anna"} and parquet.stimulus.tolist() == csv.stimulus.tolist()
    np.testing.assert_array_equal(parquet.signals["eda"], csv.signals["eda"])
    np.testing.assert_array_equal(parquet.labels, csv.labels)
