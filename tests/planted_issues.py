"""Clean data of each kind, and fifty ways to spoil it, for `test_check_data.py`."""

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from dmer_fixture import label, ratings, save, signals, write_feature_files, write_split
from scipy.io import loadmat, savemat
from wesad_fixture import answers, python2_pickle, recording, write_subject


def clean_folder(root: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    meta = {
        "emotions": [{"name": name, "valence": "v"} for name in ("joy", "fear", "calm")],
        "modalities": {"ecg": {"group": "physiological", "rate": 8}, "face": {"group": "behavioural"}},
        "window_seconds": 4.0,
    }
    (root / "meta.json").write_text(json.dumps(meta))
    for name in ("anna", "ben", "carla"):
        np.savez(
            root / f"{name}.npz",
            labels=np.repeat(rng.integers(1, 6, (5, 3)).astype(float), 4, axis=0),
            ecg=rng.normal(size=(20, 32, 2)),
            face=rng.normal(size=(20, 7)),
            present_face=np.arange(20) != 3,
            trial=np.repeat(np.arange(5), 4),
            stimulus=np.repeat([f"clip{i}" for i in range(5)], 4),
            start=np.tile(np.arange(4) * 4.0, 5),
        )


def clean_wesad(root: pathlib.Path) -> None:
    for number, subject in enumerate(("S2", "S3")):
        held = recording(subject, seconds=20, chest=number == 0)
        write_subject(root, held, answers(subject=subject, shift=number))


def clean_features(root: pathlib.Path) -> None:
    for number in (1, 2):
        write_feature_files(root / f"{number}", video_width=32)
        for file in (root / f"{number}").glob("*.mat"):  # two subjects: no two alike
            savemat(file, {k: x if k == "vids" else x + number for k, x in of_mat(file).items()})
        label(root / f"{number}", ratings(number))


def clean_signals(root: pathlib.Path) -> None:
    noise = np.random.default_rng(0)
    held = signals((0, 8), seconds=6)
    for key in ("gsr_datas", "ppg_datas"):
        held[key][0] += noise.normal(size=held[key].shape[1])
    save(root / "1" / "datas.mat", **held, dis_label=ratings(1))


def clean_split(root: pathlib.Path) -> None:
    write_split(root / "datas_all_fea_1.mat", ratings(1))


CLEAN = {
    "folder": clean_folder,
    "wesad": clean_wesad,
    "features": clean_features,
    "signals": clean_signals,
    "split": clean_split,
}
KIND = {"folder": "folder", "wesad": "wesad", "features": "dmer", "signals": "dmer", "split": "dmer"}


def of_npz(file):
    with np.load(file) as held:
        return dict(held)


def of_mat(file):
    return {k: x for k, x in loadmat(file).items() if not k.startswith("__")}


def in_arrays(read, write, file, changes):
    """Changes arrays of a file: a function of the old array, a new one, or None to drop it."""

    def spoil(root):
        arrays = read(root / file)
        for key, change in changes.items():
            arrays[key] = change(arrays[key].copy()) if callable(change) else change
        write(root / file, {k: x for k, x in arrays.items() if x is not None})

    return spoil


def in_npz(file: str, **changes):
    return in_arrays(of_npz, lambda path, arrays: np.savez(path, **arrays), file, changes)


def in_mat(file: str, **changes):
    return in_arrays(of_mat, savemat, file, changes)


def in_pickle(change, subject="S3"):
    def spoil(root):
        data = recording(subject, seconds=20, chest=subject == "S2")
        change(data)
        (root / subject / f"{subject}.pkl").write_bytes(python2_pickle(data))

    return spoil


def in_text(file: str, old: str, new: str):
    def spoil(root):
        text = (root / file).read_bytes().decode()
        assert old in text
        (root / file).write_bytes(text.replace(old, new, 1).encode())

    return spoil


def in_meta(change):
    def spoil(root):
        meta = json.loads((root / "meta.json").read_text())
        change(meta)
        (root / "meta.json").write_text(json.dumps(meta))

    return spoil


def put(rows, value):
    """A change of an array: `value` at `rows`."""

    def change(x):
        x[rows] = value
        return x

    return change


class Planted(NamedTuple):
    data: str  # a key of CLEAN
    file: str  # that must be named
    words: str  # that its issue must hold
    spoil: Callable[[pathlib.Path], object]


PICKLE, QUEST = "S3/S3.pkl", "S3/S3_quest.csv"
SPLIT, DATAS = "datas_all_fea_1.mat", "1/datas.mat"
SAME = "holds the same signals as"


def ben(words: str, **changes) -> Planted:
    return Planted("folder", "ben.npz", words, in_npz("ben.npz", **changes))


def mat(data: str, file: str, words: str, **changes) -> Planted:
    return Planted(data, file, words, in_mat(file, **changes))


def second(words: str, file: str, **changes) -> Planted:
    return mat("features", f"2/{file}", words, **changes)


def meta(words: str, change) -> Planted:
    return Planted("folder", "meta.json", words, in_meta(change))


def pickled(words: str, change) -> Planted:
    return Planted("wesad", PICKLE, words, in_pickle(change))


def worn(words: str, key: str, change) -> Planted:
    return pickled(words, lambda data: edited(data["signal"]["wrist"], key, change))


def edited(signals, key, change):
    signals[key] = change(signals[key].copy())


def written(words: str, old: str, new: str) -> Planted:
    return Planted("wesad", QUEST, words, in_text(QUEST, old, new))


def no_calm(root):
    for name in ("anna", "ben", "carla"):
        in_npz(f"{name}.npz", labels=put((slice(None), 2), 0))(root)


def without_stress(data):
    data["label"] = np.where(data["label"] == 2, 0, data["label"]).astype("<i4")


def same_answers(root):
    text = (root / "S2/S2_quest.csv").read_bytes()
    (root / QUEST).write_bytes(text.replace(b"# Subj;S2", b"# Subj;S3"))


def no_archive(file):
    return lambda root: (root / file).write_bytes(b"PK\x03\x04 no archive" * 30)


def copied(root):
    shutil.copy(root / "anna.npz", root / "dora.npz")


def without_ecg(data):
    data["signal"]["chest"].pop("ECG")


SWAPPED, BACKWARDS = np.array([[1, 5, 2], [5, 1, 1]]), np.array([8.0, 4.0])
NOTHING = np.arange(20) != 3
ALL = slice(None)

PLANTED = {
    "label row of zeros": ben("labels, row 4", labels=put(slice(4, 5), 0.0)),
    "negative label": ben("labels, row 9: negative", labels=put((9, 1), -2.0)),
    "label not finite": ben("labels, row 2: not finite", labels=put((2, 0), np.nan)),
    "column too many": ben("wanted numbers [windows, 3]", labels=np.ones((20, 4))),
    "labels missing": ben("labels: is missing", labels=None),
    "swapped labels": ben("labels, rows 0 and 3", labels=put([3, 4], SWAPPED)),
    "stimulus of another trial": ben("stimulus, rows 4 and 7", stimulus=put(7, "clip0")),
    "unsorted time": ben("start, row 10: goes back", start=put([9, 10], BACKWARDS)),
    "doubled time": ben("start, row 10: row 9 of trial", start=put(10, 4.0)),
    "wrong rate": ben("ecg: has 16 samples", ecg=lambda x: x[:, ::2]),
    "flat channel": ben("ecg, channel 1: is 3 throughout", ecg=put((..., 1), 3.0)),
    "clipped channel": ben("it is clipped", ecg=lambda x: np.clip(x, -1, 1)),
    "infinite samples": ben("ecg, row 5: token 3, feature 0 is inf", ecg=put((5, slice(3, 9)), np.inf)),
    "face off": ben("face: is the same in every window", face=np.ones((20, 7))),
    "other features": ben("(1, 5) tokens and features", face=lambda x: x[:, :5]),
    "misspelt key": ben("prsent_face: unknown key → did you mean 'present_face'?", prsent_face=np.ones(20)),
    "rows lost": ben("face: has shape (19, 7)", face=lambda x: x[:-1]),
    "empty window": ben("windows, row 3: no modality", present_ecg=NOTHING),
    "presence of nothing": ben("there is no 'face'", face=None),
    "damaged archive": Planted("folder", "ben.npz", "not a readable .npz", no_archive("ben.npz")),
    "one subject twice": Planted("folder", "dora.npz", SAME, copied),
    "emotion never reported": Planted("folder", "meta.json", "emotions[2]: 'calm' is 0", no_calm),
    "emotion twice": meta("'joy' is there twice", lambda held: held["emotions"][1].update(name="joy")),
    "unknown group": meta("ecg.group: should be", lambda x: x["modalities"]["ecg"].update(group="physio")),
    "pickle lost": Planted("wesad", PICKLE, "is missing", lambda root: (root / PICKLE).unlink()),
    "questionnaire lost": Planted("wesad", QUEST, "is missing", lambda root: (root / QUEST).unlink()),
    "files of another subject": pickled("belongs to 'S4'", lambda data: data.update(subject="S4")),
    "cut label": pickled("whole seconds of 700", lambda data: data.update(label=data["label"][:-5])),
    "condition lost": pickled("runs have the codes", without_stress),
    "wrist lost": pickled("signal['wrist']: is missing or empty", lambda data: data["signal"].pop("wrist")),
    "conditions swapped": written("PANAS answers for", "Base;TSST;Medi 1", "Base;Medi 1;TSST"),
    "answer out of range": written("answer '7' to 'Active'", "# PANAS;2", "# PANAS;7"),
    "times out of order": written("START and END", "# START;7.08", "# START;97.08"),
    "wrong wrist rate": worn("= 32 Hz; wanted 7680 = 64 Hz", "BVP", lambda x: x[::2]),
    "NaN run": worn("['EDA'], channel 0, samples 40 to 79", "EDA", put((slice(40, 80), 0), np.nan)),
    "sensor off": worn("['TEMP'], channel 0: is 33 throughout", "TEMP", lambda x: 0 * x + 33.0),
    "Fahrenheit": worn("20 to 45 degrees Celsius", "TEMP", lambda x: x * 1.8 + 32),
    "acceleration in g": worn("1/64 g", "ACC", lambda x: x / 64),
    "clipped wrist": worn("it is clipped", "BVP", lambda x: np.clip(x, -0.2, 0.2)),
    "chest signal lost": Planted(
        "wesad", "S2/S2.pkl", "signal['chest']['ECG']: is missing", in_pickle(without_ecg, "S2")
    ),
    "answers of another subject": Planted("wesad", QUEST, "holds the same answers as", same_answers),
    "rating 9": second("dis_label, video 8: neither ratings", "dis_label.mat", dis_label=put((8, 3), 9.0)),
    "clip without report": second("dis_label, video 8", "dis_label.mat", dis_label=put(8, 0.0)),
    "table missing": Planted("features", "2", "has no labels", lambda x: (x / "2/dis_label.mat").unlink()),
    "clips mixed up": second("not together", "eegfea.mat", vids=lambda x: np.roll(x, 3)),
    "electrode off": second("feas, channel 4", "eegfea.mat", feas=put((ALL, ALL, 4), 1.0)),
    "features not finite": second("lbps_all, row 7", "videoFea.mat", lbps_all=put((7, 2), np.inf)),
    "subject copied": Planted("features", "3", SAME, lambda root: shutil.copytree(root / "1", root / "3")),
    "channel stuck": mat("signals", DATAS, "channel 5: is 2 throughout", eeg_datas=put((5, ALL), 2.0)),
    "no video ids": mat("signals", DATAS, "no row after the 1 signals", gsr_datas=lambda x: x * 1.5),
    "shares with sum 3": mat("split", SPLIT, "train_label, row 4: neither", train_label=put(4, 0.3)),
    "split of other shape": mat(
        "split", SPLIT, "wanted [windows, 18, 4]", train_eeg=lambda x: np.dstack([x, x[..., 0]])
    ),
    "split rows lost": mat("split", SPLIT, "test_gsr has", test_gsr=lambda x: x[:-1]),
    "no MATLAB file": Planted("split", SPLIT, "no readable MATLAB file", no_archive(SPLIT)),
}
