"""Which rows lie on which side: ids, raw samples, copies, neighbours, and labels inside features."""

import hashlib
from collections.abc import Iterator

import numpy as np

from mpcl_jax.data.normalise import design_matrix, fit_normalisation
from mpcl_jax.data.splits.descriptions import CALIBRATED, calibration_trials, counted
from mpcl_jax.data.splits.manifest import held_apart
from mpcl_jax.evaluate.audit.evidence import Evidence, FoldEvidence
from mpcl_jax.evaluate.audit.finding import Finding, amber, green, red
from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.types import Recordings, take, with_modalities

SIDES = (("train", "test"), ("validation", "test"), ("train", "validation"))
MOST_TESTED, MOST_TRAINED = 600, 20_000  # rows of a fold whose neighbours are looked up, and among which
NEAR_COPY = 0.01  # of the usual distance to the nearest row of another trial
FEWEST_VALUES = 4  # that a modality's row needs to count as a copy
SAME = 0.999  # correlation of a feature with a label from which on it is that label
FEWEST_REPORTS = 8  # different reports without which such a correlation says nothing


def check_groups(evidence: Evidence) -> list[Finding]:
    """Windows, and the ids that the protocol keeps apart, lie on one side only."""
    recordings, protocol = evidence.recordings, evidence.manifest["protocol"]
    groups = {"window": evidence.ids} | held_apart(recordings, protocol)
    if protocol == "window80":
        groups["trial"] = recordings.trial
    found = []
    given = CALIBRATED.fullmatch(protocol)
    for fold, name, (a, b), ids in _shared(groups, evidence.folds):
        # People of validation may watch stimuli of training: only the test part is new in both.
        if name == "stimulus" and b == "validation" and "subject" in groups:
            continue
        says = f"{fold.name}: {len(ids)} {name} ids lie both in {a} and in {b}"
        if given and name == "subject" and (a, b) == ("train", "test"):
            ids = calibration_trials(recordings, fold.train, fold.test)
            if len(ids) <= int(given[1]):
                continue
            says = f"{fold.name}: {len(ids)} trials of the tested person are trained on, not {given[1]}"
        found.append(red("groups", says, ids))
    for fold in evidence.folds:
        if not len(fold.train) or not len(fold.test):
            found.append(red("groups", f"{fold.name}: the training or the test part is empty"))
    return found or [green("groups", f"{protocol}: no {' and no '.join(groups)} lies on two sides")]


def _shared(groups: dict[str, np.ndarray], folds) -> Iterator[tuple[FoldEvidence, str, tuple, list[str]]]:
    """Of every fold and group the ids that lie on two sides: (fold, name of the group, the sides, ids)."""
    codes = {name: np.unique(np.asarray(ids, str), return_inverse=True) for name, ids in groups.items()}
    for fold in folds:
        parts = fold._asdict()
        for a, b in SIDES:
            for name, (names, code) in codes.items():
                marks = np.zeros((2, len(names)), bool)
                marks[0, code[parts[a]]] = marks[1, code[parts[b]]] = True
                if marks.all(0).any():
                    yield fold, name, (a, b), names[marks.all(0)].tolist()


def check_raw_samples(evidence: Evidence) -> list[Finding]:
    """No tested window shares raw samples with a trained one, nor comes within a window's length of it."""
    recordings, check = evidence.recordings, "raw samples"
    if np.isnan(recordings.start).any() or np.isnan(recordings.duration):
        return [green(check, "the recordings give no times: only whole trials can be compared (groups)")]
    found, recording = [], _recordings_of(recordings)
    for fold in evidence.folds:
        gap = _gaps(recordings, recording, fold.test, np.concatenate([fold.train, fold.validation]))
        for near, says in (
            (gap < 0, "share raw samples with windows that were trained on"),
            (
                (gap >= 0) & (gap < recordings.duration - 1e-6),
                "begin or end within a window's length of such",
            ),
        ):
            if near.any():
                ids = evidence.ids[fold.test[near]]
                found.append(
                    red(check, f"{fold.name}: {near.sum()} of {len(near)} tested windows {says}", ids)
                )
    says = f"tested windows lie {recordings.duration:g} s or more from trained ones, or in other recordings"
    return found or [green(check, says)]


def _gaps(recordings: Recordings, recording, tested: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Seconds [P] from each tested window to the nearest trained one of its recording; inf where there is none."""
    gap = np.full(len(tested), np.inf)
    for name in np.intersect1d(recording[tested], recording[trained]):
        at = np.flatnonzero(recording[tested] == name)
        starts = recordings.start[trained[recording[trained] == name]]
        apart = np.abs(recordings.start[tested[at], None] - starts).min(axis=1) - recordings.duration
        gap[at] = np.where(np.abs(apart) < 1e-6, 0.0, apart)
    return gap


def _recordings_of(recordings: Recordings) -> np.ndarray:
    """The uninterrupted recording [N] of each row: its trial, or one name for trials whose windows interleave.

    Trials of one person with one stimulus and one report that never begin a window at the same second are pieces of
    one recording: whoever meets a clip twice has a first window both times.
    """
    recording = recordings.trial.astype(object)
    reports = np.unique(recordings.labels, axis=0, return_inverse=True)[1].ravel()
    key = np.array(
        [f"{s}\0{c}\0{r}" for s, c, r in zip(recordings.subject, recordings.stimulus, reports, strict=True)]
    )
    order = np.argsort(key, kind="stable")
    for rows in np.split(order, np.flatnonzero(key[order][1:] != key[order][:-1]) + 1):
        starts = recordings.start[rows]
        if len(np.unique(recordings.trial[rows])) > 1 and len(np.unique(starts)) == len(rows):
            recording[rows] = key[rows[0]]
    return recording.astype(str)


def check_copies(evidence: Evidence) -> list[Finding]:
    """No modality of a tested window is, number by number, that of a window on another side.

    A modality of the stimulus is equal for all subjects who met it: amber where the stimulus is the same, and the
    protocols that hold stimuli out are named.
    """
    found, recordings = [], evidence.recordings
    digests = {m: _digests(x, recordings.present[m]) for m, x in recordings.signals.items()}
    shared = {m: [] for m in recordings.of_stimulus}
    for fold in evidence.folds:
        trained = np.concatenate([fold.train, fold.validation])
        met = np.isin(recordings.stimulus[fold.test], recordings.stimulus[trained])
        for m, digest in digests.items():
            copies = np.isin(digest[fold.test], digest[trained]) & (digest[fold.test] != "")
            if m in shared:
                shared[m] += recordings.stimulus[fold.test[met & recordings.present[m][fold.test]]].tolist()
                copies &= ~met
            if copies.any():
                held = counted(int(copies.sum()), "tested window has", "tested windows have")
                says = f"{fold.name}: {held} the same {m} values as training windows"
                if _of_one_stimulus(recordings, digest, fold.test[copies], trained):
                    says += f'; if {m} describes the stimulus, write "of": "stimulus" for it in meta.json '
                    says += "(docs/own_data.md)"
                found.append(red("copies", says, evidence.ids[fold.test[copies]]))
    for m, stimuli in shared.items():
        if stimuli:
            says = (
                f"{m} describes the stimulus: {len(stimuli)} tested windows share it with training windows of "
                "the same stimulus; stimulus_kfold or subject_x_stimulus holds stimuli out"
            )
            found.append(amber("copies", says, stimuli))
    return found or [green("copies", "no modality of a tested window is found again in training")]


def _of_one_stimulus(recordings: Recordings, digest, copies: np.ndarray, trained: np.ndarray) -> bool:
    """Whether each training window that has the digest of one of the tested rows `copies` has its stimulus, too."""
    origins = trained[np.isin(digest[trained], digest[copies])]
    rows = np.concatenate([copies, origins])
    stimuli = {(d, s) for d, s in zip(digest[rows], recordings.stimulus[rows], strict=True)}
    return "" not in recordings.stimulus[rows] and len(stimuli) == len(np.unique(digest[rows]))


def _digests(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    """A name [N] for the numbers of each row; "" where it is absent or (nearly) constant."""
    flat = np.ascontiguousarray(x.reshape(len(x), -1), "<f4")
    named = np.full(len(x), "", "<U32")
    for row in np.flatnonzero(present):
        if len(np.unique(flat[row])) >= FEWEST_VALUES:
            named[row] = hashlib.blake2b(flat[row].tobytes(), digest_size=16).hexdigest()
    return named


def check_neighbours(evidence: Evidence) -> list[Finding]:
    """What the nearest training window of a tested one is: of the same trial or person, or nearly a copy."""
    of_stimulus = evidence.recordings.of_stimulus  # equal for all subjects who met the stimulus
    of_subjects = [m for m in evidence.recordings.signals if m not in of_stimulus]
    recordings, found, shares = with_modalities(evidence.recordings, of_subjects), [], []
    own = np.any([*recordings.present.values(), np.zeros(len(evidence.ids), bool)], axis=0)
    apart = evidence.manifest["protocol"] != "window80"
    rng = np.random.default_rng(0)
    most = max(20, MOST_TESTED * 5 // len(evidence.folds)) if len(evidence.folds) > 5 else MOST_TESTED
    for fold in evidence.folds:
        train, test = (rows[own[rows]] for rows in (fold.train, fold.test))
        if not len(train) or not len(test):
            continue
        train, test = _some(train, MOST_TRAINED, rng), _some(test, most, rng)
        part = take(recordings, np.concatenate([train, test]))  # from here on rows are counted in it
        trained, tested = np.arange(len(train)), np.arange(len(train), len(part.trial))
        x = design_matrix(part, fit_normalisation(take(part, trained)))
        nearest, distance = _nearest(x, part.trial, tested, trained, other_trial=False)
        usual = _nearest(x, part.trial, _some(trained, 200, rng), trained, other_trial=True)[1]
        near = distance < NEAR_COPY * np.median(usual[np.isfinite(usual)]) if np.isfinite(usual).any() else []
        if np.any(near):
            says = f"{fold.name}: {np.sum(near)} of {len(test)} tested windows are all but copies of trained ones"
            found.append(red("neighbours", says, evidence.ids[test[near]]))
        same = {n: part._asdict()[n][tested] == part._asdict()[n][nearest] for n in ("trial", "subject")}
        if apart and same["trial"].any():
            says = (
                f"{fold.name}: the nearest training window of {same['trial'].mean():.0%} is of the same trial"
            )
            found.append(red("neighbours", says, evidence.ids[test[same["trial"]]]))
        if apart and (twins := _unseen_twins(part, tested, trained, nearest)).any():
            says = (
                f"{fold.name}: the nearest training window of {twins.mean():.0%} of the tested ones is of the same "
                "person with the very same report; do the trial ids tell recordings apart?"
            )
            found.append(red("neighbours", says, evidence.ids[test[twins]]))
        shares.append([same["trial"].mean(), same["subject"].mean()])
    trial, subject = np.mean(shares, axis=0) if shares else (0.0, 0.0)
    says = f"nearest training window of the same trial for {trial:.0%}, of the same person for {subject:.0%}"
    if not shares:
        says = "no rows of both parts hold a modality of the subject: nothing to compare"
    return found or [green("neighbours", says) if trial == 0 else red("neighbours", says)]


def _unseen_twins(recordings: Recordings, test, train, nearest) -> np.ndarray:
    """Which tested rows [P] lie nearest to a row with their person and report, if that is common but unlikely."""
    nothing = np.zeros(len(test), bool)
    twins = (recordings.labels[test] == recordings.labels[nearest]).all(1)
    twins &= recordings.subject[test] == recordings.subject[nearest]
    if twins.mean() < 0.2:
        return nothing
    by_chance = []
    for row in test:
        own = train[recordings.subject[train] == recordings.subject[row]]
        by_chance.append(
            (recordings.labels[own] == recordings.labels[row]).all(1).mean() if len(own) else 0.0
        )
    return twins if twins.mean() > 3 * np.mean(by_chance) else nothing


def _some(rows: np.ndarray, most: int, rng) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _nearest(x, trial, args, among, *, other_trial: bool) -> tuple[np.ndarray, np.ndarray]:
    """The row of `among` nearest to each of `asked` (not itself, if asked of another trial) and its distance."""
    nearest, distance = np.empty(len(args), int), np.empty(len(args))
    own = (x[among] ** 2).sum(1)
    for first in range(0, len(args), 256):
        rows = args[first : first + 256]
        squared = (x[rows] ** 2).sum(1)[:, None] + own - 2 * x[rows] @ x[among].T
        if other_trial:
            squared[trial[rows][:, None] == trial[among]] = np.inf
        at = squared.argmin(axis=1)
        nearest[first : first + 256] = among[at]
        # Anew: the expansion above loses what tells a copy from a neighbour.
        exact = np.linalg.norm(x[rows] - x[among[at]], axis=1)
        distance[first : first + 256] = np.where(np.isinf(squared.min(axis=1)), np.inf, exact)
    return nearest, distance


def check_labels_inside(evidence: Evidence) -> list[Finding]:
    """No feature is a label."""
    recordings, found = evidence.recordings, []
    labels = recordings.labels.astype(np.float64)
    varying = labels.std(0) > 0
    for m, x in recordings.signals.items():
        here = recordings.present[m]
        if len(np.unique(labels[here], axis=0)) < FEWEST_REPORTS:
            continue
        r = _correlations(x[here].reshape(here.sum(), -1).astype(np.float64), labels[here])
        features, emotions = np.nonzero((np.abs(r) > SAME) & varying)
        for feature, c in zip(features.tolist(), emotions.tolist(), strict=True):
            says = f"feature {feature} of {m} is the label of {recordings.emotions[c]} (r = {decimal(r[feature, c])})"
            found.append(red("labels inside", says, [recordings.emotions[c]]))
    return found or [green("labels inside", "no feature is a label")]


def _correlations(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Correlations [F, C] of x [n, F] with labels [n, C], each feature over its rows without NaN."""
    known = ~np.isnan(x)
    count = np.maximum(known.sum(0), 1)[:, None]
    centred = np.where(known, x - np.where(known, x, 0).sum(0) / count[:, 0], 0)
    labels = labels - labels.mean(0)
    known = known.astype(np.float64)
    squares = known.T @ labels**2 - (known.T @ labels) ** 2 / count  # of labels centred over the known rows
    squares = np.where(squares > 1e-12 * count, squares, 0)  # less is rounding
    size = np.linalg.norm(centred, axis=0)[:, None] * np.sqrt(squares)
    return np.divide(centred.T @ labels, size, where=size > 0, out=np.zeros(size.shape))


def check_data(evidence: Evidence) -> list[Finding]:
    """What the features themselves owe to the tested people."""
    if evidence.config.data.per_subject_standardise:
        says = "each person's features were standardised with that person's whole recording (no labels)"
        return [amber("standardisation", says)]
    return [green("standardisation", "no statistic of a tested person entered the features")]
