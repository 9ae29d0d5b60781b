"""Windows that two subjects share are named by `mpcl check` and in the notes of a run; chance and stimuli are not."""

import pathlib

import numpy as np
import pytest

import mpcl_jax as mpcl
from mpcl_jax.data.copies import copies_of
from mpcl_jax.data.tables.write_folder import write_folder
from mpcl_jax.data.validate import folder as validator
from mpcl_jax.types import DataError

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
SUBJECTS, TRIALS, WINDOWS = 4, 3, 2


def study(**signals):
    """Four subjects with three trials of two windows; `signals` replace or add modalities."""
    rng = np.random.default_rng(0)
    subject, trial, window = (x.ravel() for x in np.indices((SUBJECTS, TRIALS, WINDOWS)))
    own = {"eda": rng.normal(size=(len(trial), 5)), "bvp": rng.normal(size=(len(trial), 6))}
    return mpcl.from_arrays(
        own | signals,
        np.repeat(rng.dirichlet(np.ones(3), SUBJECTS * TRIALS), WINDOWS, axis=0),
        subject=[f"S{n}" for n in subject],
        trial=trial,
        stimulus=[f"clip{n}" for n in trial],
        start=10.0 * window,
    )


def with_copy(recordings):
    """The second trial of S3 has the EDA of the second trial of S1."""
    recordings.signals["eda"][20:22] = recordings.signals["eda"][8:10]
    return recordings


def test_a_part_of_a_subject_that_is_a_copy_is_named_and_counted():
    assert copies_of(study()) == []
    (pair,) = copies_of(with_copy(study()))
    assert pair.sentence == "subjects S1 and S3 have 2 windows with the same values of eda"
    recordings = with_copy(study())
    recordings.signals["bvp"][20] = recordings.signals["bvp"][8]  # a single window is no evidence
    assert copies_of(recordings) == [pair]


def test_check_lists_it_a_run_notes_it_and_import_refuses_it(tmp_path):
    write_folder(study(), tmp_path / "data")
    changed = dict(np.load(tmp_path / "data" / "S3.npz"))
    changed["eda"][2:4] = np.load(tmp_path / "data" / "S1.npz")["eda"][2:4]
    np.savez(tmp_path / "data" / "S3.npz", **changed)
    (issue,) = validator.examine(str(tmp_path / "data")).issues
    assert issue.file.endswith("S3.npz") and "S1 and S3 have 2 windows" in issue.what
    notes = mpcl.load_dataset("folder", tmp_path / "data").notes
    assert any(note.startswith("subjects S1 and S3 have 2 windows") for note in notes)
    with pytest.raises(DataError, match="S1 and S3 have 2 windows"):
        write_folder(with_copy(study()), tmp_path / "other")


def test_stimuli_and_equal_rows_by_chance_are_no_copies():
    clip = np.random.default_rng(1).normal(size=(TRIALS, WINDOWS, 8))
    audio = np.tile(clip.reshape(-1, 8), (SUBJECTS, 1))  # not declared as a modality of the stimulus
    keys = np.random.default_rng(2).integers(0, 3, size=(24, 4)) + [0, 10, 20, 30]
    off = np.tile([0.0, 0.0, 1.0], (24, 1))
    assert copies_of(study(audio=audio, keys=keys, off=off)) == []
    late = audio.copy()
    late[:2] = np.nan  # absent from the first trial of one subject
    assert copies_of(study(audio=late)) == []
    declared = study(audio=np.tile(clip[0], (12, 1)))._replace(of_stimulus=("audio",))
    assert copies_of(declared) == []


@pytest.mark.parametrize("name", ["music", "walking"])
def test_real_recordings_without_copies(name):
    from experiments.datasets import music, walking

    if not (SHARED / f"{name}.npz").is_file():
        pytest.skip(f"real recordings are not at hand (../shared/data/{name}.npz)")
    of = {"music": music, "walking": walking}[name]
    recordings = of.recordings_of(dict(np.load(SHARED / f"{name}.npz")))
    assert copies_of(recordings) == [] == copies_of(recordings._replace(of_stimulus=()))
