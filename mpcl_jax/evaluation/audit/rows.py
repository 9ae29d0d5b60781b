"""Leaks between the rows of training and test: raw samples, copies, neighbours, labels inside features."""

import hashlib

import numpy as np
import pandas as pd
import scipy  # its parts are loaded on first use

from mpcl_jax.data.copies import FEWEST_VALUES
from mpcl_jax.data.normalise import design_matrix, fit_normalisation
from mpcl_jax.data.splits.descriptions import counted
from mpcl_jax.evaluation.audit.evidence import Evidence, Finding, amber, green, red
from mpcl_jax.evaluation.number_text import decimal
from mpcl_jax.types import Recordings, take, with_modalities

MOST_TESTED, MOST_TRAINED = 600, 20_000  # rows of a fold in the search for neighbours
NEAR_COPY = 0.01  # of the usual distance to the nearest row of another trial
SAME = 0.999  # correlation above which a feature counts as a label
FEWEST_REPORTS = 8  # different reports below which such a correlation is no evidence


def check_raw_samples(evidence: Evidence) -> list[Finding]:
    """No test window overlaps a training window or is less than a window's length away from it."""
    recordings, check = evidence.recordings, "raw samples"
    if np.isnan(recordings.start).any() or np.isnan(recordings.duration):
        return [green(check, "the recordings have no times: not checked")]
    found, recording = [], _recordings_of(recordings)
    for fold in evidence.split.folds:
        gap = _gaps(recordings, recording, fold.test, np.concatenate([fold.train, fold.validation]))
        near = (gap >= 0) & (gap < recordings.duration - 1e-6)
        for bad, says in (
            (gap < 0, "share raw samples with training windows"),
            (near, "are less than a window's length away from training windows"),
        ):
            if bad.any():
                ids = evidence.ids[fold.test[bad]]
                found.append(red(check, f"{fold.name}: {bad.sum()} of {len(bad)} test windows {says}", ids))
    says = f"test windows are {recordings.duration:g} s or more from training windows, or in other recordings"
    return found or [green(check, says)]


def _gaps(recordings: Recordings, recording, tested: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """Seconds [P] from each test window to the nearest training window of its recording; inf without one."""
    gap = np.full(len(tested), np.inf)
    for name in np.intersect1d(recording[tested], recording[trained]):
        at = np.flatnonzero(recording[tested] == name)
        starts = recordings.start[trained[recording[trained] == name]]
        apart = np.abs(recordings.start[tested[at], None] - starts).min(axis=1) - recordings.duration
        gap[at] = np.where(np.abs(apart) < 1e-6, 0.0, apart)
    return gap


def _recordings_of(recordings: Recordings) -> np.ndarray:
    """The uninterrupted recording [N] of each row: its trial, or one name for trials whose windows interleave.

    Trials of one subject with the same stimulus and report and without two windows of the same start time are parts
    of one recording. (A stimulus that a subject meets twice has two first windows.)
    """
    recording = recordings.trial.astype(object)
    reports = np.unique(recordings.labels, axis=0, return_inverse=True)[1].ravel()
    keys = pd.DataFrame({"subject": recordings.subject, "stimulus": recordings.stimulus, "report": reports})
    for number, rows in enumerate(keys.groupby(list(keys)).indices.values()):
        starts = recordings.start[rows]
        if len(np.unique(recordings.trial[rows])) > 1 and len(np.unique(starts)) == len(rows):
            recording[rows] = f"\0{number}"
    return recording.astype(str)


def check_copies(evidence: Evidence) -> list[Finding]:
    """No modality of a test window has the same values as a training window.

    A modality that describes the stimulus is equal for all subjects: amber where training has the same stimulus.
    """
    found, recordings = [], evidence.recordings
    digests = {m: _digests(x, recordings.present[m]) for m, x in recordings.signals.items()}
    shared = {m: [] for m in recordings.of_stimulus}
    for fold in evidence.split.folds:
        trained = np.concatenate([fold.train, fold.validation])
        met = np.isin(recordings.stimulus[fold.test], recordings.stimulus[trained])
        for m, digest in digests.items():
            copies = np.isin(digest[fold.test], digest[trained]) & (digest[fold.test] != "")
            if m in shared:
                shared[m] += recordings.stimulus[fold.test[met & recordings.present[m][fold.test]]].tolist()
                copies &= ~met
            if copies.any():
                held = counted(int(copies.sum()), "test window has", "test windows have")
                says = f"{fold.name}: {held} the same {m} values as training windows"
                if m not in shared:
                    says += f'; if {m} describes the stimulus, set "of": "stimulus" in meta.json (docs/own_data.md)'
                found.append(red("copies", says, evidence.ids[fold.test[copies]]))
    for m, stimuli in shared.items():
        if stimuli:
            says = (
                f"{m} describes the stimulus: {len(stimuli)} test windows share it with training windows of "
                "the same stimulus; stimulus_kfold and subject_x_stimulus hold stimuli out"
            )
            found.append(amber("copies", says, stimuli))
    return found or [green("copies", "no modality of a test window has the values of a training window")]


def _digests(x: np.ndarray, present: np.ndarray) -> np.ndarray:
    """A hash [N] of the values of each row; "" where it is absent or (nearly) constant."""
    flat = np.ascontiguousarray(x.reshape(len(x), -1), "<f4")
    named = np.full(len(x), "", "<U32")
    for row in np.flatnonzero(present):
        if len(np.unique(flat[row])) >= FEWEST_VALUES:
            named[row] = hashlib.blake2b(flat[row].tobytes(), digest_size=16).hexdigest()
    return named


def check_neighbours(evidence: Evidence) -> list[Finding]:
    """The nearest training window of a test window is neither nearly a copy nor of the same trial.

    Modalities of the stimulus are left out. A window counts as nearly a copy at NEAR_COPY of the usual distance
    between windows of different trials.
    """
    of_stimulus = evidence.recordings.of_stimulus
    of_subjects = [m for m in evidence.recordings.signals if m not in of_stimulus]
    recordings, found, compared = with_modalities(evidence.recordings, of_subjects), [], 0
    present = np.any([*recordings.present.values(), np.zeros(len(evidence.ids), bool)], axis=0)
    rng = np.random.default_rng(0)
    most = min(MOST_TESTED, max(20, MOST_TESTED * 5 // len(evidence.split.folds)))
    for fold in evidence.split.folds:
        train, test = (rows[present[rows]] for rows in (fold.train, fold.test))
        if not len(train) or not len(test):
            continue
        compared += 1
        train, test = _some(train, MOST_TRAINED, rng), _some(test, most, rng)
        part = take(recordings, np.concatenate([train, test]))  # from here on rows are counted in it
        trained, tested = np.arange(len(train)), np.arange(len(train), len(part.trial))
        x = design_matrix(part, fit_normalisation(take(part, trained)))
        nearest, distance = _nearest(x, part.trial, tested, trained, other_trial=False)
        usual = _nearest(x, part.trial, _some(trained, 200, rng), trained, other_trial=True)[1]
        usual = np.median(usual[np.isfinite(usual)]) if np.isfinite(usual).any() else 0.0
        of_trial = part.trial[tested] == part.trial[nearest]
        problems = [(distance < NEAR_COPY * usual, "is nearly a copy")]
        if not evidence.split.leaky:
            problems.append((of_trial, "is of the same trial"))
        for rows, says in problems:
            if rows.any():
                count = f"{rows.sum()} of {len(rows)} test windows"
                text = f"{fold.name}: the nearest training window of {count} {says}"
                found.append(red("neighbours", text, evidence.ids[test[rows]]))
    says = "no nearest training window is nearly a copy or of the same trial"
    return found or [green("neighbours", says if compared else "no modality of the subjects to compare")]


def _some(rows: np.ndarray, most: int, rng) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))


def _nearest(x, trial, rows, among, *, other_trial: bool) -> tuple[np.ndarray, np.ndarray]:
    """The row of `among` nearest to each of `rows`, of another trial if `other_trial`, and its distance."""
    distance = scipy.spatial.distance.cdist(x[rows], x[among])
    if other_trial:
        distance[trial[rows][:, None] == trial[among]] = np.inf
    return among[distance.argmin(axis=1)], distance.min(axis=1)


def check_labels_inside(evidence: Evidence) -> list[Finding]:
    """No feature is a label."""
    recordings, found = evidence.recordings, []
    for m, x in recordings.signals.items():
        here = recordings.present[m]
        labels = recordings.labels[here].astype(np.float64)
        if len(np.unique(labels, axis=0)) < FEWEST_REPORTS:
            continue
        features = pd.DataFrame(x[here].reshape(len(labels), -1).astype(np.float64))
        with np.errstate(invalid="ignore", divide="ignore"):  # constant columns have no correlation
            r = np.stack([features.corrwith(pd.Series(y)) for y in labels.T], axis=1)  # [F, C]
        features, emotions = np.nonzero(np.abs(r) > SAME)
        for feature, c in zip(features.tolist(), emotions.tolist(), strict=True):
            says = f"feature {feature} of {m} is the label of {recordings.emotions[c]} (r = {decimal(r[feature, c])})"
            found.append(red("labels inside", says, [recordings.emotions[c]]))
    return found or [green("labels inside", "no feature is a label")]


def check_standardisation(evidence: Evidence) -> list[Finding]:
    """Whether features use statistics of test subjects."""
    if evidence.config.data.per_subject_standardise:
        says = "the features of each subject were standardised with the whole recording of the subject (no labels)"
        return [amber("standardisation", says)]
    return [green("standardisation", "features use no statistics of test subjects")]
