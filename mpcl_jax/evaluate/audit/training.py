"""What folds were trained with and chosen by, and what was predicted: checkpoints, logs and predictions."""

import math

import numpy as np

from mpcl_jax.data.normalise import Normalisation, fit_normalisation
from mpcl_jax.evaluate.audit.evidence import Checkpoint, Evidence, FoldEvidence
from mpcl_jax.evaluate.audit.finding import Finding, amber, green, red
from mpcl_jax.types import Recordings, take

METHOD = "MPCL"
FITTED = 1e-6  # relative, of statistics


def check_statistics(evidence: Evidence) -> list[Finding]:
    """The normalisation that a checkpoint keeps is that of its training rows, and of no other rows."""
    found, compared = [], 0
    for fold in evidence.folds:
        if fold.checkpoint is None or not len(fold.train):
            continue
        compared += 1
        kept = fold.checkpoint.norm
        if not _same_statistics(kept, evidence.recordings, fold.train):
            says = f"{fold.name}: the normalisation is not that of its training rows{_whose(kept, evidence, fold)}"
            found.append(red("statistics", says, evidence.ids[fold.test]))
    says = f"normalisation of {compared} fold(s) fitted again from training rows: the same"
    return found or [green("statistics", says) if compared else gone("statistics")]


def gone(check: str) -> Finding:
    """The answer where there is nothing to look at."""
    return amber(check, "no checkpoint is left: not checked")


def _same_statistics(kept: Normalisation, recordings: Recordings, rows: np.ndarray) -> bool:
    part = take(recordings, rows)
    if not len(rows) or not all(here.any() for here in part.present.values()):
        return False
    fitted = fit_normalisation(part)
    fields = Normalisation._fields if kept.median else ("mean", "std")
    return all(
        was.keys() == now.keys()
        and all(x.shape == was[m].shape and _close(x, was[m], fitted.std[m]) for m, x in now.items())
        for was, now in ((getattr(kept, name), getattr(fitted, name)) for name in fields)
    )


def _close(a: np.ndarray, b: np.ndarray, scale: np.ndarray) -> bool:
    """Whether a and b are equal up to rounding. Earlier versions kept 1 for the infinite std of a constant."""
    a, b, scale = (np.where(np.isinf(x), 1, x) for x in (a, b, scale))
    return bool((np.abs(a - b) <= FITTED * (scale + np.abs(b))).all())


def _whose(kept: Normalisation, evidence: Evidence, fold: FoldEvidence) -> str:
    parts = {
        "of training and test rows": [fold.train, fold.test],
        "of training and validation rows": [fold.train, fold.validation],
        "of all rows": [np.arange(len(evidence.ids))],
        "of the test rows": [fold.test],
    }
    parts |= {
        f"of the training rows of {other.name}": [other.train]
        for other in evidence.folds
        if other is not fold
    }
    for name, rows in parts.items():
        if _same_statistics(kept, evidence.recordings, np.unique(np.concatenate(rows))):
            return f": it is that {name}"
    return ""


def check_train_mean(evidence: Evidence) -> list[Finding]:
    """The train mean of the table is the mean report of training and validation rows."""
    found, labels = [], evidence.recordings.labels.astype(np.float64)
    for fold in evidence.folds:
        saved = fold.baselines.get("train_mean")
        if saved is None or not len(fold.train):
            continue
        mean = labels[np.concatenate([fold.train, fold.validation])].mean(0)
        if np.abs(saved - mean / mean.sum()).max() > 1e-5:
            says = f"{fold.name}: the train mean is not the mean report of the rows that may be trained on"
            found.append(red("train mean", says, evidence.ids[fold.test]))
    return found or [green("train mean", "the mean report of training and validation rows")]


def check_exact_reports(evidence: Evidence) -> list[Finding]:
    """No method repeats the very reports of test windows more often than training windows carry them."""
    found, labels = [], evidence.recordings.labels
    report = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    for fold in evidence.folds:
        rows = fold.predictions["rows"]
        by_chance = np.isin(report[rows], report[np.concatenate([fold.train, fold.validation])]).mean()
        for method, said in {**fold.baselines, METHOD: fold.predictions["predicted"]}.items():
            exact = (
                np.abs(said - labels[rows]).max(1) < 1e-4 if said.shape == labels[rows].shape else np.zeros(1)
            )
            if exact.mean() > by_chance + 0.2:
                says = (
                    f"{fold.name}: {method} repeats {exact.mean():.0%} of the tested reports to four decimals"
                )
                found.append(red("exact reports", says, evidence.ids[rows[exact]]))
    return found or [
        green(
            "exact reports", "no method repeats the tested reports more often than training windows hold them"
        )
    ]


def check_selection(evidence: Evidence) -> list[Finding]:
    """The model that predicts is the one that the settings and the validation rows alone name."""
    found, train = [], evidence.config.train
    for fold in evidence.folds:
        seen = sorted({name for line in fold.log for name in line if "test" in name})
        if seen:
            found.append(red("selection", f"{fold.name}: the log of its training holds {', '.join(seen)}"))
        kept = fold.checkpoint
        if kept is None:
            continue
        if kept.epoch != train.epochs:
            says = f"{fold.name}: it ends at epoch {kept.epoch} of {train.epochs}: no setting chose that"
            found.append(red("selection", says))
        if train.select == "best":
            found += _check_best(fold, kept)
    rule = "validation KL alone" if train.select == "best" else "the last epoch, whatever its score"
    if all(fold.checkpoint is None for fold in evidence.folds):
        found.append(gone("selection"))
    return found or [green("selection", f"chosen by {rule}")]


def check_sealed(evidence: Evidence) -> list[Finding]:
    """Every choice was written down before test measures were computed, once, and is the one that predicts."""
    if not evidence.choices:
        return [
            amber(
                "sealed", "no selection.json: nobody can tell what was chosen before the test was looked at"
            )
        ]
    found, again = [], []
    for fold in evidence.folds:
        methods = evidence.choices.get(fold.name, {})
        late = [
            name for name, entry in methods.items() if entry["looked"] and entry["looked"] < entry["chosen"]
        ]
        if late:
            found.append(red("sealed", f"{fold.name}: {', '.join(late)} chosen after the test was looked at"))
        again += [f"{fold.name}: {name}" for name, entry in methods.items() if entry["earlier"]]
        kept = fold.checkpoint
        ends = None if kept is None else kept.best[0] if kept.best else kept.epoch
        wrote = methods.get(METHOD, {}).get("choice", {}).get("epoch")
        if kept is not None and wrote != ends:
            found.append(red("sealed", f"{fold.name}: epoch {wrote} was written down, epoch {ends} predicts"))
    if again:
        says = f"{len(again)} choices were made anew after test measures had been computed (a second look)"
        found.append(amber("sealed", says, again))
    return found or [
        green("sealed", "every choice was written down before test measures were computed, once")
    ]


def _check_best(fold: FoldEvidence, kept: Checkpoint) -> list[Finding]:
    curve = {
        line["epoch"]: line["validation_kl"] for line in fold.log if line.get("validation_kl") is not None
    }
    if kept.best is None or not curve:
        return [
            red("selection", f"{fold.name}: no validation KL is left from which its epoch could be chosen")
        ]
    best = min(curve, key=lambda epoch: (curve[epoch], epoch))
    epoch, value = kept.best
    if epoch != best or not math.isclose(value, curve[best], rel_tol=1e-5):
        says = (
            f"{fold.name}: epoch {epoch} was chosen (KL {value:.4f}), validation is lowest at epoch {best} "
            f"({curve[best]:.4f})"
        )
        return [red("selection", says)]
    return []


def check_predictions(evidence: Evidence) -> list[Finding]:
    """Every tested window was predicted once, by the model of its own fold, and next to the report people gave."""
    found = _check_tested(evidence)
    tau = evidence.config.model.memory.temperature
    for fold in evidence.folds:
        rows = fold.predictions["rows"]
        if sorted(rows.tolist()) != fold.test.tolist():
            says = f"{fold.name}: folds/{fold.number:02d}/predictions.npz is not of its tested windows"
            found.append(red("predictions", says))
        kept = fold.checkpoint
        if kept is None or kept.bank is None or not {"query", "similarity"} <= set(fold.predictions):
            continue
        said = fold.predictions["similarity"] * tau
        apart = {
            other.name: np.abs(
                np.einsum("pgd,gckd->pgck", fold.predictions["query"], other.checkpoint.bank) - said
            )
            for other in evidence.folds
            if other.checkpoint is not None and np.shape(other.checkpoint.bank) == np.shape(kept.bank)
        }
        tolerance = 0.02 if evidence.config.train.precision == "bfloat16" else 1e-3
        if len(said) and apart[fold.name].max() > tolerance:
            of = next((name for name, x in apart.items() if x.max() <= tolerance), None)
            says = (
                f"{fold.name}: its predictions were made by {f'the model of {of}' if of else 'another model'}"
            )
            found.append(red("predictions", says, evidence.ids[fold.test]))
    return found or [green("predictions", "every tested window once, by the model of its own fold")]


def _check_tested(evidence: Evidence) -> list[Finding]:
    found, place = [], {name: row for row, name in enumerate(evidence.ids.tolist())}
    by_fold = {str(fold.number): set(evidence.ids[fold.test].tolist()) for fold in evidence.folds}
    said = {number: [row["id"] for row in evidence.tested if row["fold"] == number] for number in by_fold}
    for fold in evidence.folds:
        wanted, here = by_fold[str(fold.number)], said[str(fold.number)]
        for ids, what in (
            (set(here) - wanted, "are predicted, but not tested in it"),
            (wanted - set(here), "are tested, but their predictions are left out"),
        ):
            if ids:
                found.append(red("predictions", f"{fold.name}: {len(ids)} windows {what}", ids))
        if len(here) > len(set(here)):
            found.append(red("predictions", f"{fold.name}: windows are predicted more than once"))
    emotions = evidence.recordings.emotions
    changed = [
        row["id"]
        for row in evidence.tested
        if row["id"] in place
        and np.abs(
            [float(row[f"reported_{e}"]) for e in emotions] - evidence.recordings.labels[place[row["id"]]]
        ).max()
        > 1e-6
    ]
    if changed:
        found.append(red("predictions", f"{len(changed)} windows are scored against other reports", changed))
    return found
