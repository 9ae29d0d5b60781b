"""A split of recordings into folds: what it may look like, and the manifest file that holds it.

Rows are named by ids, so a manifest fits the same recordings in any row order, and its sha256 is the same on
every machine. Tables put side by side only what carries one hash.
"""

import collections
import hashlib
import json
import pathlib
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from mpcl_jax import __version__
from mpcl_jax.config.data import WRITTEN
from mpcl_jax.data.splits.descriptions import (
    calibration_trials,
    counted,
    fold_sentence,
    held_apart,
    in_order,
    kind_of,
    listed,
    n_of,
    sentence_of,
)
from mpcl_jax.types import DataError, Recordings


class Fold(NamedTuple):
    """One training: sorted row numbers of a `Recordings`; rows in none of the three are not used."""

    name: str  # "fold 3 of 10"
    sentence: str  # what is held out
    train: np.ndarray  # int
    validation: np.ndarray  # int, may be empty
    test: np.ndarray  # int
    # int, "few_shot": rows of tested subjects that are written before the test
    written: np.ndarray = np.arange(0)


class Split(NamedTuple):
    """All folds of a protocol."""

    protocol: str  # a key of SENTENCES; "calibrated(3)" and "few_shot(3)" with their n
    leaky: bool  # windows of one trial lie in training and in test
    sentence: str  # what the protocol holds out
    folds: tuple[Fold, ...]
    sha256: str  # of protocol and ids


def row_ids(recordings: Recordings) -> list[str]:
    """Unique names of the rows: trial@start in seconds, or trial@#count where no start is known.

    Names with a start do not depend on the order of the rows, counts only on the order within the trial.
    Raises DataError for two windows of one trial with the same start.
    """
    counts, ids = collections.Counter(), []
    for trial, start in zip(recordings.trial.tolist(), recordings.start.tolist(), strict=True):
        unknown = np.isnan(start)
        ids.append(f"{trial}@#{counts[trial]}" if unknown else f"{trial}@{start + 0.0:.3f}")
        counts[trial] += unknown
    if len(set(ids)) < len(ids):
        double = next(name for name, count in collections.Counter(ids).items() if count > 1)
        reason = f"two windows are {double!r} (trial@start); make `trial` or `start` tell them apart"
        raise DataError(recordings.name, reason)
    return ids


def trial_positions(subject: np.ndarray, trial: np.ndarray) -> np.ndarray:
    """The position [N] of each row's trial among the trials of its subject, from 0, in the order of the rows."""
    position, counts = {}, collections.Counter()
    for name, one in dict.fromkeys(zip(subject.tolist(), trial.tolist(), strict=True)):
        position[name, one] = counts[name]
        counts[name] += 1
    return np.array([position[pair] for pair in zip(subject.tolist(), trial.tolist(), strict=True)])


def sign_split(recordings: Recordings, protocol: str, folds, file) -> Split:
    """A `Split` of `folds`: describes what they hold out, checks them (errors name `file`) and signs them."""
    folds = tuple(f._replace(sentence=fold_sentence(recordings, protocol, f.train, f.test)) for f in folds)
    split = Split(protocol, protocol == "window80", sentence_of(protocol), folds, "")
    check_split(recordings, split, file)
    return split._replace(sha256=hash_of(recordings, protocol, folds))


def hash_of(recordings: Recordings, protocol: str, folds) -> str:
    """sha256 of protocol and ids."""
    text = json.dumps(_content(recordings, protocol, folds), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def check_split(recordings: Recordings, split: Split, file: Any = "split") -> None:
    """Raises DataError naming `file`, the fold and the ids where a split breaks its protocol.

    That is: rows in two parts or outside the recordings, an empty training or test part, or a subject, trial
    or stimulus in two parts although the protocol keeps them apart.
    """
    groups = {name: codes_of(ids) for name, ids in held_apart(recordings, split.protocol).items()}
    groups["window"] = (np.array(row_ids(recordings)), np.arange(len(recordings.trial)))
    kind = kind_of(split.protocol)
    for fold in split.folds:
        parts = {"train": fold.train, "validation": fold.validation, "test": fold.test}
        parts |= {"written": fold.written} if kind == "few_shot" else {}
        for part, rows in parts.items():
            if len(rows) and not 0 <= rows.min() <= rows.max() < len(recordings.trial):
                reason = f"{fold.name}: {part} names rows that {recordings.name} does not have"
                raise DataError(file, reason)
            if not len(rows) and part not in ("validation", "written"):
                reason = f"{fold.name}: the {part} part is empty; choose fewer folds or another protocol"
                raise DataError(file, reason)
        _check_written(recordings, kind, n_of(split.protocol), fold, file)
        for a, b in (("train", "test"), ("validation", "test"), ("train", "validation")):
            for name, (names, codes) in groups.items():
                # Validation subjects may have seen stimuli of training: only the test part is new in both.
                if name == "stimulus" and b == "validation" and "subject" in groups:
                    continue
                if name == "subject" and (a, b) == ("train", "test") and kind == "calibrated":
                    _check_calibration(recordings, n_of(split.protocol), fold, file)
                    continue
                both = np.intersect1d(codes[parts[a]], codes[parts[b]])
                if len(both):
                    reason = f"{fold.name}: {len(both)} {name} ids lie both in {a} and in {b}: {listed(names[both])}"
                    raise DataError(file, reason)


def _check_calibration(recordings: Recordings, wanted: int, fold: Fold, file) -> None:
    trials = calibration_trials(recordings, fold.train, fold.test)
    subjects = in_order(recordings.subject[fold.test])
    if len(trials) != wanted or len(subjects) != 1:
        what = f"calibrated({wanted}) tests one subject and trains on {wanted} trials of it"
        found = f"this fold tests {listed(subjects)} and trains on {len(trials)}"
        raise DataError(file, f"{fold.name}: {what}; {found}")


def _check_written(recordings: Recordings, kind: str, n: int | None, fold: Fold, file) -> None:
    """The written and tested trials of `sequential` and `few_shot(n)` are those of their protocol."""
    if kind != "few_shot" and len(fold.written):
        raise DataError(file, f"{fold.name}: names written trials, which the protocol {kind} does not have")
    if kind not in WRITTEN:
        return
    own = np.flatnonzero(np.isin(recordings.subject, np.unique(recordings.subject[fold.test])))
    position = trial_positions(recordings.subject[own], recordings.trial[own])
    if kind == "sequential" and not np.array_equal(own, np.sort(fold.test)):
        raise DataError(
            file, f"{fold.name}: sequential tests all trials of a subject; this fold leaves some out"
        )
    if kind == "few_shot" and not np.array_equal(own[position < n], np.sort(fold.written)):
        reason = f"writes other trials than the first {n} of each tested subject, in the order of the rows"
        raise DataError(file, f"{fold.name}: {reason}")


def write_manifest(split: Split, recordings: Recordings, path: Any) -> None:
    """Writes a split as JSON: all row ids once, and per fold those not trained on. `path`: a file."""
    content = _content(recordings, split.protocol, split.folds)
    for entry, fold in zip(content["folds"], split.folds, strict=True):
        entry["sentence"] = fold.sentence
    head = {"generator": f"mpcl_jax {__version__}", "sentence": split.sentence, "sha256": split.sha256}
    pathlib.Path(path).write_text(json.dumps(head | content, indent=1) + "\n", encoding="utf-8")


def read_manifest(path: Any, recordings: Recordings) -> Split:
    """The split of a manifest file, for `recordings` with exactly its rows in any order.

    Raises DataError for a file that is no manifest, ids that are unknown, missing, doubled or in two parts
    of a fold, a split that breaks its own protocol, and content that does not fit the sha256.
    """
    content = _parse_manifest(path)
    index = {name: row for row, name in enumerate(row_ids(recordings))}

    def rows_of(ids, where):
        if unknown := [name for name in ids if name not in index]:
            count = counted(len(unknown), "window", "windows")
            reason = f"{where} names {count} unknown to {recordings.name}: {listed(unknown)}"
            raise DataError(path, reason)
        rows, counts = np.unique(np.array([index[name] for name in ids], int), return_counts=True)
        if (counts > 1).any():
            double = np.array(list(index))[rows[counts > 1]]
            raise DataError(path, f"{where} names windows more than once: {listed(double)}")
        return rows

    missing = np.delete(np.array(list(index)), rows_of(content.rows, "rows"))
    if len(missing):
        reason = f"lacks {counted(len(missing), 'window', 'windows')} of {recordings.name}: {listed(missing)}"
        raise DataError(path, reason)
    folds = []
    for entry in content.folds:
        parts = ("validation", "test", "written")
        taken = [rows_of(getattr(entry, x), f"{entry.name}: {x}") for x in (*parts, "unused")]
        named = entry.validation + entry.test + entry.written + entry.unused
        elsewhere = rows_of(named, f"{entry.name}: validation, test, written and unused")
        train = np.delete(np.arange(len(index)), elsewhere)
        folds.append(Fold(entry.name, "", train, *taken[:3]))
        if entry.order != _order(recordings, content.protocol, folds[-1]):
            reason = f"the trials are in another order than in {recordings.name}; the order is part of the protocol"
            raise DataError(path, f"{entry.name}: {reason}")
    split = sign_split(recordings, content.protocol, folds, path)
    if split.sha256 != content.sha256:
        raise DataError(path, "its ids do not fit its sha256: the file was edited; make the split again")
    return split


class _Entry(BaseModel):
    name: str
    validation: list[str]
    test: list[str]
    unused: list[str]
    written: list[str] = []
    order: list[str] = []


def _known(protocol: str) -> str:
    if not kind_of(protocol):
        raise ValueError("unknown protocol")
    return protocol


class _Manifest(BaseModel):
    protocol: Annotated[str, AfterValidator(_known)]
    rows: list[str]
    folds: list[_Entry] = Field(min_length=1)
    sha256: str | None = None


def _parse_manifest(path) -> _Manifest:
    try:
        held = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        return _Manifest.model_validate(held, strict=True)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"])) or "the file"
        reason = "is no split manifest: needs `protocol`, `rows`, `folds` and `sha256`"
        raise DataError(path, f"{reason}; look at {place}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(path, f"is no readable split manifest ({error})") from error


def _content(recordings: Recordings, protocol: str, folds) -> dict:
    """What the hash covers. Training rows are those not named: few folds would otherwise fill a disk."""
    ids = np.array(row_ids(recordings))
    entries = []
    for fold in folds:
        used = np.concatenate([fold.train, fold.validation, fold.test, fold.written])
        unused = np.delete(np.arange(len(ids)), used)
        parts = {"test": fold.test, "validation": fold.validation, "unused": unused}
        if kind_of(protocol) == "few_shot":
            parts["written"] = fold.written
        entry = {"name": fold.name} | {part: sorted(ids[rows].tolist()) for part, rows in parts.items()}
        order = _order(recordings, protocol, fold)
        entries.append(entry | ({"order": order} if order else {}))
    return {"protocol": protocol, "rows": sorted(ids.tolist()), "folds": entries}


def _order(recordings: Recordings, protocol: str, fold: Fold) -> list[str]:
    """The trials of the tested subjects in the order of the rows, for protocols that write trials; [] for others."""
    if kind_of(protocol) not in WRITTEN:
        return []
    own = np.isin(recordings.subject, np.unique(recordings.subject[fold.test]))
    return list(dict.fromkeys(recordings.trial[own].tolist()))


def codes_of(ids) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ids, sorted, and the position of every row's id among them [N]."""
    return np.unique(np.asarray(ids, str), return_inverse=True)
