"""Empatica E4 sessions as files: of generated signals, and of the real recordings of EmoPairCompete."""

import csv
import pathlib
import zipfile

import numpy as np
import pytest
from python_process import SHARED

BEGAN = 1_700_000_000.0  # seconds since 1970: 2023-11-14T22:13:20Z
RATES = {"BVP": 64, "EDA": 4, "TEMP": 4, "ACC": 32}
REAL = SHARED / "data" / "emopaircompete.npz"


def streams(seconds: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Signals of a worn E4 in the units of its files."""
    rng = np.random.default_rng(seed)
    t = {key: np.arange(seconds * rate) / rate for key, rate in RATES.items()}
    beat = 1.2 + 0.01 * seed
    return {
        "BVP": 60 * np.sin(2 * np.pi * beat * t["BVP"]) + rng.normal(size=t["BVP"].size),
        "EDA": 1 + 0.2 * np.sin(0.1 * t["EDA"]) + 0.01 * rng.normal(size=t["EDA"].size),
        "TEMP": 33 + 0.1 * rng.normal(size=t["TEMP"].size),
        "ACC": np.rint(rng.normal((0, 0, 64), 3, size=(t["ACC"].size, 3))),
    }


def e4_texts(signals: dict[str, np.ndarray], tags: tuple = (), began: float = BEGAN) -> dict[str, str]:
    """The files of a session, name -> content; `tags` in seconds since `began`."""
    texts = {}
    for key, x in signals.items():
        x = x.reshape(len(x), -1)
        head = [[f"{began:.6f}"] * x.shape[1], [f"{RATES[key]:.6f}"] * x.shape[1]]
        lines = [", ".join(row) for row in head] + [",".join(f"{v:.9g}" for v in row) for row in x]
        texts[f"{key}.csv"] = "\n".join(lines) + "\n"
    texts["tags.csv"] = "".join(f"{began + at:.2f}\n" for at in tags)
    texts["info.txt"] = "exported by Empatica Connect\n"
    texts["IBI.csv"] = f"{began:.6f}, IBI\n14.3,0.76\n"
    return texts


def write_session(place: pathlib.Path, texts: dict[str, str], folder: str = "") -> None:
    """A session as a folder or, where `place` ends in .zip, as a zip file."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in texts.items():
                archive.writestr(folder + name, text)
        return
    place.mkdir()
    for name, text in texts.items():
        (place / name).write_text(text)


def write_csv(file: pathlib.Path, rows: list[dict]) -> pathlib.Path:
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def write_real(root: pathlib.Path, subjects: int = 18) -> tuple[pathlib.Path, pathlib.Path]:
    """The real recordings of `subjects` as E4 folders, and their questionnaire: trials one after the other."""
    if not REAL.exists():
        pytest.skip("real recordings are not at hand (../shared/data/emopaircompete.npz)")
    held = dict(np.load(REAL))
    first = {key: np.cumsum(held[f"{key}_length"]) - held[f"{key}_length"] for key in ("BVP", "EDA", "TEMP")}
    rows = []
    for subject in list(dict.fromkeys(held["subject"].tolist()))[:subjects]:
        parts, at = {key: [] for key in first}, 0
        for i in np.flatnonzero(held["subject"] == subject):
            seconds = int(min(held[f"{key}_length"][i] // RATES[key] for key in first))
            for key in first:
                parts[key].append(held[key][first[key][i] :][: seconds * RATES[key]])
            name = {"subject": subject, "trial": f"round{held['round'][i]}_phase{held['phase'][i]}"}
            times = {"stimulus": f"phase{held['phase'][i]}", "start": at, "end": at + seconds}
            ratings = zip(held["emotions"].tolist(), held["labels"][i].tolist(), strict=True)
            rows.append(name | times | dict(ratings))
            at += seconds
        signals = {key: np.concatenate(x) / (100 if key == "BVP" else 1) for key, x in parts.items()}
        write_session(root / "sessions" / subject, e4_texts(signals))
    return root / "sessions", write_csv(root / "ratings.csv", rows)
