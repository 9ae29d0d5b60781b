"""Good files of every kind that the program reads, and damage to them, for `test_fuzz.py`."""

import json
import pathlib
import pickle
import re
import tempfile

import numpy as np
from dmer_fixture import ratings, release_2024, signals, write_feature_files, write_merged, write_split
from recordings_fixture import recordings_of
from scipy.io import savemat
from test_pickle_reader import PYTHON2, wesad_like
from wesad_fixture import answers, python2_pickle, recording

from mpcl_jax.config.data import ProtocolConfig
from mpcl_jax.data.folder.meta import Meta
from mpcl_jax.data.splits.manifest import write_manifest
from mpcl_jax.data.splits.protocols import make_split

# Where a file describes itself: damage near these finds more than damage among the numbers.
ANCHORS = {
    "pkl": rb"numpy|signal|label|wrist|chest|subject|ACC|BVP|EDA|TEMP|f[48]|i4|U\x01b",
    "mat": rb"feas\w*|vids|lbps_all|dis_label|train_\w+|test_\w+|\w+_datas|fs_\w+|^MATLAB",
    "npz": rb"PK[\x01\x03\x05][\x02\x04\x06]|\x93NUMPY|descr|shape",
    "csv": rb"#",
    "json": rb"[\[\]{}:,\"]",
}
EXTREMES = tuple(n.to_bytes(size, order) for n, size, order in [
    (0, 4, "little"), (2**32 - 1, 4, "little"), (2**31 - 1, 4, "big"), (2**31, 4, "little"),
    (2**63 - 1, 8, "little"), (2**64 - 1, 8, "little"), (10**12, 8, "little"), (2**40, 8, "big"),
    (0x7FF0 << 48, 8, "little"), (0xFFF8 << 48, 8, "little"),
])  # fmt: skip

RECORDINGS = recordings_of(3, 2, 2)  # that a manifest of the corpus is about
META = Meta("", ("a", "b", "c"), ("p", "p", "n"), {"ecg": "physiological"}, {}, (), float("nan"))


def good_files() -> dict[str, list[tuple[str, bytes]]]:
    """Ending -> [(name, content)]; the name says how the file is read."""
    rng = np.random.default_rng(0)
    small = {
        "signal": {"wrist": {"ACC": np.ones((4, 3))}},
        "label": np.arange(3, dtype="i4"),
        "subject": "S2",
    }
    plain = [PYTHON2, *(pickle.dumps(small, protocol=p) for p in (2, 3, 4, 5))]
    plain += [pickle.dumps(wesad_like(rng, seconds=1), protocol=p) for p in (2, 4)]
    subject = python2_pickle(recording("S2", seconds=6, chest=False))
    with tempfile.TemporaryDirectory() as folder:
        mats = _mats(pathlib.Path(folder))
        npz = _npz(pathlib.Path(folder))
        manifest = pathlib.Path(folder, "manifest.json")
        write_manifest(make_split(RECORDINGS, ProtocolConfig(kind="loso")), RECORDINGS, manifest)
        manifest = manifest.read_bytes()
    meta = {
        "name": "x",
        "emotions": [{"name": e, "valence": "v"} for e in "abc"],
        "modalities": {"ecg": {"group": "physiological", "rate": 4}, "face": {"group": "behavioural"}},
        "window_seconds": 10.0,
    }
    quests = ["\r\n".join(answers(shift=shift)).encode() + b"\r\n" for shift in range(3)]
    return {
        "pkl": [("plain.pkl", x) for x in plain] + [("S2.pkl", subject)] * 3,
        "mat": mats,
        "npz": npz,
        "csv": [("S2_quest.csv", x) for x in quests],
        "json": [("meta.json", json.dumps(meta, indent=1).encode()), ("manifest.json", manifest)],
    }


def _mats(folder: pathlib.Path) -> list[tuple[str, bytes]]:
    write_feature_files(folder / "1", videos=(0, 8), seconds=7, video_width=32)
    write_merged(folder / "Features" / "1.mat", ratings(0), videos=(0, 8), seconds=6)
    write_split(folder / "datas_all_fea_1.mat", ratings(0))
    savemat(folder / "1" / "dis_label.mat", {"dis_label": ratings(0)})
    brief = {k: x[:, :: 3 if k == "eeg_datas" else 1] for k, x in signals((0, 8), seconds=4, rest=2).items()}
    savemat(folder / "1" / "datas.mat", brief | {"fs_eeg": 100.0})
    found = [(path.name, path.read_bytes()) for path in sorted(folder.rglob("*.mat"))]
    savemat(folder / "packed.mat", release_2024(brief) | {"fs_eeg": 100.0}, do_compression=True)
    return [*found, ("datas.mat", (folder / "packed.mat").read_bytes())]


def _npz(folder: pathlib.Path) -> list[tuple[str, bytes]]:
    rng = np.random.default_rng(1)
    anna = {
        "labels": rng.integers(1, 6, (6, 3)),
        "ecg": rng.normal(size=(6, 4, 2)),
        "present_ecg": np.ones(6, bool),
        "trial": np.array(list("aabbcc")),
        "stimulus": np.arange(6),
        "start": np.array([0.0, 1, 0, 1, 0, np.nan]),
    }
    np.savez(folder / "anna.npz", **anna)
    np.savez_compressed(folder / "packed.npz", **anna)
    shares = rng.dirichlet(np.ones(3), 6)
    np.savez_compressed(folder / "baselines.npz", train_mean=shares, ridge=shares)
    files = [("anna.npz", "anna.npz"), ("anna.npz", "packed.npz"), ("baselines.npz", "baselines.npz")]
    return [(name, (folder / held).read_bytes()) for name, held in files]


def damaged(rng: np.random.Generator, content: bytes, ending: str) -> bytes:
    """`content` with up to six changes, most of them where the file describes itself."""
    data = content
    for _ in range(min(6, int(rng.geometric(0.6)))):
        if not data:
            break
        near = [m.start() for m in re.finditer(ANCHORS[ending], data)]
        at = int(rng.integers(len(data)))
        if near and rng.random() < 0.7:
            at = min(len(data) - 1, max(0, int(rng.choice(near)) + int(rng.integers(-48, 48))))
        other, count = int(rng.integers(len(data))), int(rng.integers(1, 40))
        match int(rng.integers(6)):
            case 0:
                word = EXTREMES[int(rng.integers(len(EXTREMES)))]
                data = data[:at] + word + data[at + len(word) :]
            case 1 | 2:
                data = data[:at] + rng.bytes(1) + data[at + 1 :]
            case 3:
                data = data[:at] + data[other : other + count] + data[at:]
            case 4:
                data = data[: at + 1] if rng.random() < 0.2 else data[:at] + data[at + count :]
            case _:
                data = data[:at] + bytes([data[at] ^ 1 << int(rng.integers(8))]) + data[at + 1 :]
    return data
