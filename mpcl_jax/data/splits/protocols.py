"""What is held out: from recordings and settings to a `Split` (its manifest file: `manifest.py`).

A split is made from the ids of the rows (subject, trial, stimulus, start) and a seed, never from signals or
labels, so nothing in a test row can influence it. The same ids and seed give the same split and the same
sha256 on every machine, in whatever order the rows come. `descriptions.SENTENCES` describes every protocol.
"""

import zlib
from typing import NamedTuple

import numpy as np

from mpcl_jax.config.data import BY_TRIAL, PROTOCOLS, WRITTEN, ProtocolConfig
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data.splits.descriptions import APART, counted, held_apart, in_order, kind_of
from mpcl_jax.data.splits.manifest import (
    Fold,
    Split,
    codes_of,
    read_manifest,
    row_ids,
    sign_split,
    trial_positions,
)
from mpcl_jax.types import Recordings

# The 73 usable subjects of DMER. The parts of the literature are not published; these were drawn once:
# `default_rng(0).permutation(DMER_SUBJECTS)`, the first 13 for testing, the next 12 for validation.
DMER_SUBJECTS = tuple(str(n) for n in range(1, 81) if n not in (3, 4, 13, 16, 17, 27, 31))
FIXED_TEST = ("8", "11", "22", "26", "35", "42", "44", "50", "51", "55", "63", "66", "69")
FIXED_VALIDATION = ("5", "7", "14", "25", "30", "47", "52", "58", "61", "76", "77", "79")

# Protocols that need several subjects, and stimuli with names.
BY_SUBJECT = ("loso", "subject_kfold", "calibrated", "subject_x_stimulus", *WRITTEN)
BY_STIMULUS = tuple(kind for kind, ids in APART.items() if "stimulus" in ids)
PLURAL = {"subject": "subjects", "stimulus": "stimuli", "trial": "trials"}


def make_split(recordings: Recordings, settings: ProtocolConfig) -> Split:
    """The split of `settings`: made or, with `settings.manifest`, read.

    Raises ConfigError where the recordings cannot support the protocol, the number of folds, the share of
    validation groups or the folds of `only`; DataError for ids that contradict each other.
    """
    if settings.manifest:
        split = read_manifest(settings.manifest, recordings)
        _require_supported(recordings, split.protocol)
        return _keep_only(recordings, split, settings.only)
    kind = settings.kind
    _require_supported(recordings, kind)
    protocol = f"{kind}({settings.calibration})" if kind in ("calibrated", "few_shot") else kind
    groups = held_apart(recordings, protocol)
    _, drawn = codes_of(next(iter(groups.values())) if groups else np.array(row_ids(recordings)))
    held_out = _held_out(recordings, settings)
    folds = []
    for number, (train, validation, test, written) in enumerate(held_out):
        if kind != "fixed_48_12_13":
            rng = np.random.default_rng([settings.seed, 1 + number])
            validation = _draw_validation(drawn, validation, settings.validation, rng)
        name = f"fold {number + 1} of {len(held_out)}"
        parts = (np.flatnonzero(mask) for mask in (train & ~validation, validation, test, written))
        folds.append(Fold(name, "", *parts))
    return _keep_only(recordings, sign_split(recordings, protocol, folds, recordings.name), settings.only)


class _Masks(NamedTuple):
    """What a fold may use, before validation groups are drawn; each [N] bool."""

    train: np.ndarray
    validation: np.ndarray  # where validation groups are drawn from, or the validation part itself
    test: np.ndarray
    written: np.ndarray | tuple[()] = ()


def _require_supported(recordings: Recordings, protocol: str) -> None:
    """Raises ConfigError where the files or the ids of the recordings do not support the protocol."""
    kind, reason, single = kind_of(protocol) or protocol, "", len(set(recordings.subject.tolist())) < 2
    possible = _possible(recordings)
    if recordings.protocols and kind not in recordings.protocols:
        if kind in BY_TRIAL and not set(BY_TRIAL) & set(recordings.protocols):
            reason = (
                "needs `trial` for every window: a key of each .npz file, or an argument of from_arrays; "
            )
        reason += f"{recordings.name} supports only {', '.join(map(repr, possible))}"
    elif kind in BY_SUBJECT and single:
        ways = " or ".join(repr(x) for x in possible if x in ("trial_kfold", "stimulus_kfold"))
        advice = f"set config.protocol.kind to {ways}" if ways else "it needs at least two"
        reason = f"{recordings.name} holds a single subject; {advice}"
    elif kind in WRITTEN and not (trial_positions(recordings.subject, recordings.trial) > 0).any():
        reason = "needs subjects with two or more trials; every subject has a single one"
    elif kind in BY_STIMULUS and (recordings.stimulus == "").any():
        trial = recordings.trial[recordings.stimulus == ""][0]
        reason = f"needs stimulus ids; trial '{trial}' has none"
    if reason:
        raise ConfigError(f"config.protocol.kind = {kind!r}: {reason}")


def _possible(recordings: Recordings) -> list[str]:
    """The protocols that the ids of `recordings` support."""
    subjects = set(recordings.subject.tolist())
    lacking = {"fixed_48_12_13"} if subjects - set(DMER_SUBJECTS) else set()
    lacking |= set(BY_STIMULUS) if (recordings.stimulus == "").any() else set()
    lacking |= set(BY_SUBJECT) if len(subjects) < 2 else set()
    lacking |= set(WRITTEN) if len(set(recordings.trial.tolist())) == len(subjects) else set()
    return [kind for kind in recordings.protocols or PROTOCOLS if kind not in lacking]


def _keep_only(recordings: Recordings, split: Split, only: tuple[int, ...]) -> Split:
    if not only:
        return split
    if max(only) >= len(split.folds):
        first, last = split.folds[0].name, f"{len(split.folds) - 1} ({split.folds[-1].name})"
        raise ConfigError(f"config.protocol.only = {only}: folds are counted from 0 ({first}) to {last}")
    folds = [split.folds[k] for k in sorted(set(only))]
    return sign_split(recordings, split.protocol, folds, recordings.name)


def _held_out(recordings: Recordings, settings: ProtocolConfig) -> list[_Masks]:
    """What every fold may use."""
    kind, rng = settings.kind, np.random.default_rng([settings.seed, 0])
    subjects = in_order(recordings.subject)
    match kind:
        case "fixed_48_12_13":
            return [_fixed(recordings)]
        case "calibrated":
            return [_calibrated(recordings, name, settings) for name in subjects]
        case "loso":
            dealt = [[recordings.subject == name for name in subjects]]
        case "window80":
            dealt = [[_window80(recordings, rng)]]
        case _:
            ids = [name for name in APART[kind] if name != "trial"] or ["trial"]
            dealt = [_deal(recordings, what, settings.folds, rng) for what in ids]
    folds = list(zip(*dealt, strict=True))
    if kind == "few_shot":
        return [_few_shot(recordings, held, settings) for (held,) in folds]
    return [_Masks(~np.any(held, axis=0), ~np.any(held, axis=0), np.all(held, axis=0)) for held in folds]


def _calibrated(recordings: Recordings, subject: str, settings: ProtocolConfig) -> _Masks:
    """All others and the first n trials of `subject` in a drawn order; tested: those after `calibration_pool`.

    Drawn, because ids do not tell the order in time: DMER numbers its clips by valence. The order of one subject
    does not depend on the others. Validation never takes the few trials of the tested subject.
    """
    own = recordings.subject == subject
    rng = np.random.default_rng([settings.seed, zlib.crc32(subject.encode())])
    order = rng.permutation(np.unique(recordings.trial[own]))
    most = settings.calibration_pool
    _require_tested(subject, len(order), most)
    known = np.isin(recordings.trial, order[: settings.calibration])
    return _Masks(~own | known, ~own, np.isin(recordings.trial, order[most:]))


def _few_shot(recordings: Recordings, held: np.ndarray, settings: ProtocolConfig) -> _Masks:
    """Tested: trials of the `held` [N] subjects after their first `calibration_pool`; written: the first n."""
    position, pool = trial_positions(recordings.subject, recordings.trial), settings.calibration_pool
    for name in in_order(recordings.subject[held]):
        count = int(position[recordings.subject == name].max()) + 1
        _require_tested(name, count, pool)
    return _Masks(~held, ~held, held & (position >= pool), held & (position < settings.calibration))


def _require_tested(subject: str, trials: int, pool: int) -> None:
    """Raises ConfigError where all `trials` of a subject are reserved for calibration."""
    if trials <= pool:
        has = counted(trials, "trial", "trials")
        few = f"subject {subject} has {has}, so none is left to test"
        raise ConfigError(f"config.protocol.calibration_pool = {pool}: {few}")


def _fixed(recordings: Recordings) -> _Masks:
    """The parts of the subjects of DMER; a subject without recordings is missing from its part."""
    kind = "config.protocol.kind = 'fixed_48_12_13'"
    unknown = set(recordings.subject.tolist()) - set(DMER_SUBJECTS)
    if unknown:
        what = f"made for the 73 subjects of DMER; {recordings.name} has subject {min(unknown)!r}"
        raise ConfigError(f"{kind}: {what}. Use 'subject_kfold', or a manifest of your own")
    test, validation = (np.isin(recordings.subject, part) for part in (FIXED_TEST, FIXED_VALIDATION))
    if not validation.any():
        part = f"its validation part ({', '.join(FIXED_VALIDATION)})"
        raise ConfigError(f"{kind}: {recordings.name} has no subject of {part}")
    return _Masks(~test & ~validation, validation, test)


def _deal(recordings: Recordings, what: str, folds: int, rng) -> list[np.ndarray]:
    """Masks [N] of each fold: the shuffled ids `what` are dealt to the folds in turn; trials subject by subject."""
    ids = np.asarray(getattr(recordings, what), str)
    names, first, codes = np.unique(ids, return_index=True, return_inverse=True)
    if len(names) < folds:
        has = f"{counted(len(names), what, PLURAL[what])}{'; set it lower' if len(names) > 1 else ''}"
        needs = f"needs at least {folds} {PLURAL[what]}"
        raise ConfigError(f"config.protocol.folds = {folds}: {needs}, the recordings have {has}")
    strata = codes_of(recordings.subject)[1][first] if what == "trial" else np.zeros(len(names))
    part = np.empty(len(names), int)
    part[np.lexsort((rng.random(len(names)), strata))] = np.arange(len(names)) % folds
    return [part[codes] == k for k in range(folds)]


def _window80(recordings: Recordings, rng) -> np.ndarray:
    """The published test rows, else a fifth of the windows of each subject at random. A mask [N]."""
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
            "and leaves none to train on; set it lower, or train without validation rows by "
            "config.protocol.validation=0 together with config.train.select=last"
        )
    return train & np.isin(codes, rng.permutation(present)[:count])
