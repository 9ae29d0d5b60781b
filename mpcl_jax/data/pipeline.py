"""From settings to recordings: the data set, its modalities, checks, standardisation per subject, content hash."""

import hashlib
import os
from typing import Any

import numpy as np

from mpcl_jax.config.data import DataConfig
from mpcl_jax.config.resolve import ConfigError, resolve
from mpcl_jax.data.copies import copies_of
from mpcl_jax.data.issues import digest_of
from mpcl_jax.data.normalise import far_values, notes_on, standardise_per_subject
from mpcl_jax.data.one_report import require_one_report
from mpcl_jax.data.registry import find_dataset
from mpcl_jax.data.splits.manifest import row_ids
from mpcl_jax.system.paths import shell_command
from mpcl_jax.types import DataError, Recordings, check_recordings, take, with_modalities

ONE_RECORDING = "one recording may have been saved for both; leave one of the subjects out"


def load(settings: DataConfig) -> Recordings:
    """The recordings that a run uses, checked against the contract of `types.py`.

    Raises DataError naming file and reason, or ConfigError for an unknown data set, or a modality that it lacks.
    """
    return checked(find_dataset(settings.kind)(settings), settings)


def load_dataset(kind: str, path: Any = "", **options: Any) -> Recordings:
    """A data set as a run reads it: "wesad", "dmer", "folder" or "simulated", or a registered one.

    `path`: its folder or file · `options`: settings of `config.data`, such as `modalities=("eda", "bvp")`, and
    those of the kind, e.g. `labels="dmer9"` for `config.data.wesad.labels`.

    Raises ConfigError for an unknown name or option and DataError for files that cannot be used.
    """
    _require_name(kind)
    own = {"simulated": "simulate"}.get(kind, kind)
    common, groups = set(DataConfig.__dataclass_fields__), DataConfig.__dataclass_fields__
    values = {name: value for name, value in options.items() if name in common}
    rest = {name: value for name, value in options.items() if name not in common}
    if rest and kind == "folder":
        raise ConfigError(
            f"{next(iter(rest))}: no such option of a folder; its meta.json describes the recordings"
        )
    if rest:
        values[own if own in groups else "options"] = rest
    try:
        return load(resolve({"data": {"kind": kind, "path": str(path), **values}}).data)
    except ConfigError as mistake:
        text = str(mistake).replace(f"config.data.{own}.", "").replace("--config.data.path=", "path=")
        text = text.partition(". If a config file registers it")[0]  # of the commands
        raise ConfigError(text.replace("config.data.", "")) from None


def _require_name(kind: Any) -> None:
    """Raises ConfigError for a path or a table in the place of the name of a data set."""
    if isinstance(kind, str) and kind.isidentifier():
        return
    if not isinstance(kind, str | os.PathLike):
        how = "a data frame belongs to from_dataframe, a dict of arrays to from_arrays"
    elif os.path.isfile(kind) or os.path.splitext(kind)[1]:
        how = f"give pandas.read_csv({str(kind)!r}) to from_dataframe, or convert the file with mpcl import"
    else:
        how = f"for a folder in the folder format call load_dataset('folder', path={str(kind)!r})"
    shown = f"{str(kind)!r}" if isinstance(kind, str | os.PathLike) else f"a {type(kind).__name__}"
    raise ConfigError(f"kind: {shown} is no name of a data set such as 'wesad' or 'folder'; {how}")


def checked(recordings: Recordings, settings: DataConfig) -> Recordings:
    """`recordings` as `load` returns them: chosen modalities, checks, notes, standardisation per subject."""
    source = settings.path or settings.kind
    if not isinstance(recordings, Recordings):
        what = f"returned {type(recordings).__name__}; wanted Recordings"
        raise DataError(source, f"data set {settings.kind!r} {what}")
    recordings = check_recordings(_keep_modalities(recordings, settings.modalities), source)
    require_one_report(source, recordings.labels, recordings.trial, recordings.subject)
    if settings.kind != "simulated":
        refuse_duplicates(recordings, settings)
        shared = (f"{pair.sentence}: {ONE_RECORDING}" for pair in copies_of(recordings))
        recordings = recordings._replace(notes=(*recordings.notes, *shared))
    refuse_far_values(recordings, settings)
    recordings = recordings._replace(notes=(*recordings.notes, *notes_on(recordings)))
    if settings.per_subject_standardise:
        recordings = standardise_per_subject(recordings)
    return recordings


def refuse_far_values(recordings: Recordings, settings: DataConfig) -> None:
    """Raises DataError for a value that no training part without it can normalise (`normalise.far_values`)."""
    for far in far_values(recordings):
        where = f"subject {recordings.subject[far.row]}, window {row_ids(recordings)[far.row]}"
        reason = f"{where}: {far.place} {far.what}; write NaN where it is wrong"
        raise DataError(settings.path or settings.kind, reason)


def refuse_duplicates(recordings: Recordings, settings: DataConfig) -> None:
    """Raises DataError where two subjects have the same signals: held out, one would still be trained on."""
    seen: dict[str, str] = {}
    for subject in dict.fromkeys(recordings.subject.tolist()):
        rows = recordings.subject == subject
        digest = digest_of(x[rows] for m, x in recordings.signals.items() if m not in recordings.of_stimulus)
        if digest and (other := seen.setdefault(digest, subject)) != subject:
            reason = f"subjects {other} and {subject} have the same signals; remove one of them"
            if settings.kind in ("dmer", "wesad", "folder"):  # those that have a validator
                command = shell_command(["mpcl", "check", settings.path, "--kind", settings.kind])
                reason += f" ({command} lists every issue)"
            raise DataError(settings.path or settings.kind, reason)


def _keep_modalities(recordings: Recordings, names: tuple[str, ...]) -> Recordings:
    if not names:
        return recordings
    unknown = [m for m in names if m not in recordings.signals]
    if unknown:
        raise ConfigError(
            f"config.data.modalities names {unknown[0]!r}; {recordings.name} has {', '.join(recordings.signals)}"
        )
    kept = np.stack([recordings.present[m] for m in names]).any(axis=0)
    return with_modalities(take(recordings, kept), names)


def content_hash(recordings: Recordings) -> str:
    """sha256 of everything in the recordings that can change a result."""
    digest = hashlib.sha256()
    for m in sorted(recordings.signals):
        digest.update(m.encode())
        digest.update(np.ascontiguousarray(recordings.signals[m], "<f4").tobytes())
        digest.update(np.packbits(recordings.present[m]).tobytes())
    digest.update(np.ascontiguousarray(recordings.labels, "<f4").tobytes())
    for ids in (recordings.subject, recordings.trial, recordings.stimulus):
        digest.update("\n".join(map(str, ids)).encode())
    return digest.hexdigest()
