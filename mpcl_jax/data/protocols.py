"""What is held out: from recordings and settings to a `Split` (its manifest file: `manifest.py`).

A split is made from the ids of the rows (subject, trial, stimulus, start) and a seed, never from signals or
labels, so nothing in a test row can influence it. The same ids and seed give the same split and the same
sha256 on every machine, in whatever order the rows come.

    loso                 one person a fold
    subject_kfold        people
    trial_kfold          whole trials, some of every person; one model for everybody
    stimulus_kfold       stimuli, for everybody
    subject_x_stimulus   people and stimuli; what only one of the two takes is left out of training
    window80             one fold of random windows, LEAKY: only to compare with published numbers
"""

import numpy as np

from mpcl_jax.batch import Recordings
from mpcl_jax.config import ConfigError
from mpcl_jax.data.manifest import (
    Fold,
    Split,
    check_split,
    codes_of,
    held_apart,
    in_order,
    read_manifest,
    row_ids,
    sign_split,
    write_manifest,
)
from mpcl_jax.data.settings import ProtocolConfig

__all__ = ["Fold", "Split", "check_split", "make_split", "read_manifest", "row_ids", "write_manifest"]


def make_split(recordings: Recordings, settings: ProtocolConfig) -> Split:
    """The split that `settings` ask for, made or, with `settings.manifest`, read.

    Raises ConfigError where the recordings can not support the protocol, the number of folds, the share of
    validation groups or the folds of `only`; DataFileError for ids that contradict each other.
    """
    if settings.manifest:
        split = read_manifest(settings.manifest, recordings)
        _require_supported(recordings, split.protocol)
        return _keep_only(recordings, split, settings.only)
    kind = settings.kind
    _require_supported(recordings, kind)
    groups = held_apart(recordings, kind)
    _, drawn = codes_of(next(iter(groups.values())) if groups else np.array(row_ids(recordings)))
    held_out = _held_out(recordings, settings)
    folds = []
    for number, (train, test) in enumerate(held_out):
        rng = np.random.default_rng([settings.seed, 1 + number])
        validation = _draw_validation(drawn, train, settings.validation, rng)
        name = f"fold {number + 1} of {len(held_out)}"
        parts = (np.flatnonzero(mask) for mask in (train & ~validation, validation, test))
        folds.append(Fold(name, "", *parts))
    return _keep_only(recordings, sign_split(recordings, kind, folds, recordings.name), settings.only)


def _require_supported(recordings: Recordings, kind: str) -> None:
    if recordings.protocols and kind not in recordings.protocols:
        allowed = ", ".join(map(repr, recordings.protocols))
        raise ConfigError(f"config.protocol.kind = {kind!r}: {recordings.name} supports only {allowed}")


def _keep_only(recordings: Recordings, split: Split, only: tuple[int, ...]) -> Split:
    if not only:
        return split
    if max(only) >= len(split.folds):
        last = len(split.folds) - 1
        raise ConfigError(f"config.protocol.only = {only}: folds of this split are counted from 0 to {last}")
    return sign_split(
        recordings, split.protocol, [split.folds[k] for k in sorted(set(only))], recordings.name
    )


def _held_out(recordings: Recordings, settings: ProtocolConfig) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks [N] of the rows that may be trained on and that are tested, of every fold."""
    kind, rng = settings.kind, np.random.default_rng([settings.seed, 0])
    no_strata = np.zeros(len(recordings.trial), int)
    if kind in ("stimulus_kfold", "subject_x_stimulus") and (recordings.stimulus == "").any():
        trial = recordings.trial[recordings.stimulus == ""][0]
        raise ConfigError(f"config.protocol.kind = {kind!r}: needs stimulus ids; trial '{trial}' has none")
    if kind == "subject_x_stimulus":
        people = _deal("people", recordings.subject, no_strata, settings.folds, rng)
        stimuli = _deal("stimuli", recordings.stimulus, no_strata, settings.folds, rng)
        return [(~who & ~what, who & what) for who, what in zip(people, stimuli, strict=True)]
    if kind == "loso":
        tests = [recordings.subject == name for name in in_order(recordings.subject)]
        if len(tests) < 2:
            raise ConfigError(f"config.protocol.kind = 'loso': {recordings.name} holds a single person")
    elif kind == "subject_kfold":
        tests = _deal("people", recordings.subject, no_strata, settings.folds, rng)
    elif kind == "trial_kfold":
        tests = _deal("trials", recordings.trial, codes_of(recordings.subject)[1], settings.folds, rng)
    elif kind == "stimulus_kfold":
        tests = _deal("stimuli", recordings.stimulus, no_strata, settings.folds, rng)
    else:
        tests = [_window80(recordings, rng)]
    return [(~test, test) for test in tests]


def _deal(what: str, groups, strata, folds: int, rng) -> list[np.ndarray]:
    """Masks [N] of each fold: shuffled groups are dealt out like cards, one stratum after the other.

    `groups` [N] ids · `strata` [N] int, the same for all rows of a group.
    """
    names, first, codes = np.unique(np.asarray(groups, str), return_index=True, return_inverse=True)
    if len(names) < folds:
        raise ConfigError(f"config.protocol.folds = {folds}: there are only {len(names)} {what} to deal out")
    part = np.empty(len(names), int)
    part[np.lexsort((rng.random(len(names)), strata[first]))] = np.arange(len(names)) % folds
    return [part[codes] == k for k in range(folds)]


def _window80(recordings: Recordings, rng) -> np.ndarray:
    """The published test rows, else a fifth of each person's windows at random. A mask [N]."""
    if recordings.published_test is not None:
        return recordings.published_test.astype(bool)
    order = np.argsort(np.array(row_ids(recordings)))
    test = np.zeros(len(order), bool)
    for name in np.unique(recordings.subject):
        rows = rng.permutation(order[recordings.subject[order] == name])
        test[rows[: round(0.2 * len(rows))]] = True
    return test


def _draw_validation(codes: np.ndarray, train: np.ndarray, share: float, rng) -> np.ndarray:
    """Mask [N] of `share` of the groups (`codes` [N]) of the training rows, at least one if share > 0."""
    present = np.unique(codes[train])
    count = max(1, round(share * len(present))) if share else 0
    if share and count >= len(present):
        raise ConfigError(
            f"config.protocol.validation = {share}: takes {count} of {len(present)} groups of a training part "
            "and leaves none to train on"
        )
    return train & np.isin(codes, rng.permutation(present)[:count])
