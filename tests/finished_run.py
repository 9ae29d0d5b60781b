"""Writes the folder of a finished run without training: known arrays, optionally hostile names."""

import csv
import dataclasses
import io
import json
import pathlib

import numpy as np
import orbax.checkpoint as ocp
from run_fixture import tiny_config

from mpcl_jax.evaluation import statistics_text
from mpcl_jax.evaluation.leaderboard import Result, make_table
from mpcl_jax.system.storage import write_arrays
from mpcl_jax.train.fold_inspection import Inspection

HOSTILE = '"><script>window.hacked=1</script><img src=x onerror="window.hacked=2">&{{7*7}}$\\frac$'
SUBJECTS, WINDOWS, SLOTS, WIDTH = 6, 4, 2, 8
MODALITIES = ("eeg", "video")


def write_run(
    folder: pathlib.Path,
    *,
    emotions=3,
    hostile=False,
    leaky=False,
    dead=False,
    memory=True,
    learned=0.5,
    windows=WINDOWS,
    banks=2,
):
    """One fold of 6 subjects with `windows` each; predictions mix the labels (`learned` in 0 to 1) and uniform.

    `banks`: modality groups of the data set, one bank each.

    Returns the reported and predicted shares [6 · windows, C].
    """
    rng = np.random.default_rng(0)
    count = SUBJECTS * windows
    mark = HOSTILE if hostile else ""
    names = [f"emotion {c}{mark}" for c in range(emotions)]
    reported = rng.dirichlet(np.ones(emotions), count).astype(np.float32)
    predicted = (learned * reported + (1 - learned) / emotions).astype(np.float32)
    subject = np.repeat([f"P{i}{mark}" for i in range(SUBJECTS)], windows)
    ids = [f"{name}/clip@{10 * w:.3f}" for name in dict.fromkeys(subject) for w in range(windows)]
    fold = folder / "folds" / "00"
    (fold / "checkpoints" / "3").mkdir(parents=True)
    uniform = np.full_like(reported, 1 / emotions)
    mean = np.tile(reported.mean(0), (count, 1))
    methods = {"uniform": uniform, "train_mean": mean, "MPCL": predicted}
    results = [Result(name, [x]) for name, x in methods.items()]
    table = make_table(results, reported, subject, subject, "abc", leaky=leaky)
    made = {"command": f"python -m mpcl_jax.main {mark}", "commit": "1234567"}
    title = f"made up{mark}, {'window80' if leaky else 'loso'}"
    for name, text in statistics_text.files_of(table, names, title=title, **made).items():
        (folder / name).write_text(text)
    _write_documents(folder, names, ids, leaky, mark, banks)
    _write_predictions(folder, names, ids, subject, reported, predicted)
    np.savez(fold / "baselines.npz", uniform=uniform, train_mean=mean)
    similarity = rng.normal(size=(count, banks, emotions, SLOTS))
    calls_up = rng.dirichlet(np.ones(emotions), (count, emotions))
    np.savez(fold / "predictions.npz", predicted=predicted, cooccurrence_map=calls_up, similarity=similarity)
    inspection = _inspection(reported, predicted, emotions, rng, ids, subject, banks)
    write_arrays(fold / "inspection.npz", inspection._asdict())
    if memory:
        _write_memory(fold, emotions, rng, dead, banks)
    return reported, predicted


def _write_documents(folder, names, ids, leaky, mark, banks):
    config = json.loads(json.dumps(dataclasses.asdict(tiny_config())))
    data = {
        "emotions": names,
        "valence": ["positive", *["negative"] * (len(names) - 1)],
        "groups": {"eeg": "physiological", "video": "behavioural" if banks == 2 else "physiological"},
        "shapes": {"eeg": [1, 3], "video": [1, 4]},
        "name": f"made up{mark}",
        "windows": 100,
        "subjects": SUBJECTS,
        "notes": [f"note{mark}"],
        "sha256": "def",
    }
    fold = {"name": "fold 1 of 1", "sentence": f"held out{mark}", "test": ids, "validation": [], "unused": []}
    kind = "window80" if leaky else "loso"
    rows = [*ids, *([f"{ids[0].rpartition('@')[0]}@90.000"] if leaky else ["Q/clip@0.000"])]
    split = {"protocol": kind, "sentence": kind, "sha256": "abc", "rows": rows, "folds": [fold]}
    made = {"mpcl_jax": "0.1.0", "jax": "0.10.2"}
    colour = "red" if leaky else "green"
    findings = [
        {"check": "protocol", "colour": "green", "says": kind, "ids": []},
        {"check": "groups", "colour": colour, "says": f"trials{mark}", "ids": ids[:2]},
    ]
    audit = {"colour": colour, "findings": findings}
    documents = {"config": config, "data": data, "manifest": split, "made_with": made, "environment": made}
    documents["audit"] = audit
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    metrics = [{"fold": 0, "epoch": e, "loss": 2 / e, "distribution": 1 / e} for e in (1, 2, 3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(m) + "\n" for m in metrics))
    drift = np.full((len(names), SLOTS), 0.1).tolist()
    usage = np.full((len(names), SLOTS), 0.5).tolist()
    slots = [{"fold": 0, "epoch": e, "drift": drift, "usage": usage} for e in (1, 2)]
    (folder / "folds" / "00" / "memory.jsonl").write_text("".join(json.dumps(x) + "\n" for x in slots))


def _write_predictions(folder, names, ids, subject, reported, predicted):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = [f"{kind}_{name}" for kind in ("reported", "predicted") for name in names]
    writer.writerow(["id", "fold", "subject", "trial", "stimulus", *heads])
    for i, name in enumerate(ids):
        writer.writerow([name, 0, subject[i], name.rpartition("@")[0], "", *reported[i], *predicted[i]])
    (folder / "predictions.csv").write_text(out.getvalue())


def _inspection(reported, predicted, emotions, rng, ids, subject, banks) -> Inspection:
    count = len(reported)
    without = np.stack([predicted, np.full_like(predicted, 1 / emotions)], axis=1)
    shape = (emotions, SLOTS, 1)
    return Inspection(
        rows=np.arange(count),
        modality=np.array(MODALITIES),
        scale=np.array([1.0, 4.0]),
        present=np.ones((count, 2), bool),
        association=np.full((count, 2, 2, 2), 0.25),
        recalled=rng.dirichlet(np.ones(banks * emotions * SLOTS), count).reshape(-1, banks, emotions, SLOTS),
        without_modality=without,
        without_scale=np.stack([predicted, predicted], axis=1),
        subset=np.array([[True, True], [True, False], [False, True]]),
        subset_kl=np.tile([0.1, 0.2, 0.3], (count, 1)),
        near_id=np.full(shape, ids[0]),
        near_subject=np.full(shape, subject[0]),
        near_cosine=np.full(shape, 0.9),
    )


def _write_memory(fold, emotions, rng, dead, banks):
    bank = rng.normal(size=(banks, emotions, SLOTS, WIDTH))
    usage = np.full((emotions, SLOTS), 0.1)
    if dead:
        usage[0] = (0.2, 0.0001)
        bank[:, 1, 1] = bank[:, 1, 0]
    arrays = {
        "bank": bank / np.linalg.norm(bank, axis=-1, keepdims=True),
        "mass": np.full((banks, emotions, SLOTS), 10.0),
        "usage": usage,
        "cooccurrence": np.full((emotions, emotions), 1 / emotions**2),
    }
    with ocp.StandardCheckpointer() as writer:
        writer.save(fold / "checkpoints" / "3" / "prototypes", {k: np.float32(v) for k, v in arrays.items()})
