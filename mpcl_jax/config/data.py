"""Settings of the recordings and of what is held out (what settings are: `mpcl_jax/config/schema.py`)."""

import dataclasses

from mpcl_jax.config.fields import (
    PATH,
    SEED,
    SWITCH,
    WORD,
    above,
    below_one,
    between,
    each,
    one_of,
    part,
    setting,
)


@dataclasses.dataclass(frozen=True)
class SimulateConfig:
    """Simulated recordings with planted prototypes, valence groups and co-occurrence (`data/simulate.py`)."""

    # People. Rows = subjects · clips · windows.
    subjects: int = setting(24, between(2, 10_000))
    # Clips that each person watches.
    clips: int = setting(24, between(2, 10_000))
    # Windows cut from each clip.
    windows: int = setting(3, between(1, 10_000))
    # Half of the emotions are positive, half negative.
    emotions: int = setting(10, between(2, 100))
    # Planted prototypes per emotion and side.
    prototypes: int = setting(2, between(1, 100))
    # Standard deviation of the noise on every feature; 1 = as large as the signal.
    noise: float = setting(1.0, between(0.0, 1000.0))
    # Standard deviation of a person's own offset on every feature, in the same unit.
    subject_effect: float = setting(0.5, between(0.0, 1000.0))
    # Probability that a modality is absent from a window. At least one always stays.
    missing: float = setting(0.0, below_one())
    # Seed of the world; independent of the seed of training.
    seed: int = setting(0, SEED)


@dataclasses.dataclass(frozen=True)
class DmerConfig:
    """DMER (Yang et al. 2024), any of its four layouts (`data/dmer/load.py`)."""

    # Subjects to use by their number; () = all found.
    subjects: tuple[int, ...] = setting((), each(between(1, 10_000)))
    # Peripheral features are complex numbers in the release; "real" drops the imaginary part of FFT columns.
    complex_part: str = setting("real", one_of("real", "magnitude"))
    # Layout A only: length of a window of the aligned signals.
    window_seconds: float = setting(5.0, above(0.0, 3600.0))
    # Layout A only: seconds from the start of a window to the start of the next.
    step_seconds: float = setting(1.0, above(0.0, 3600.0))


@dataclasses.dataclass(frozen=True)
class WesadConfig:
    """WESAD (Schmidt et al. 2018), the official folders (`data/wesad/load.py`)."""

    # Subjects to use by their name, e.g. ("S2", "S3"); () = all found.
    subjects: tuple[str, ...] = setting((), each(WORD))
    # Items of the questionnaire that make the distribution.
    labels: str = setting("panas24", one_of("panas24", "panas23", "dmer9"))
    # "wrist" = Empatica E4 only; "both" = RespiBAN chest strap and wrist.
    devices: str = setting("wrist", one_of("wrist", "both"))
    # Length of a window. Windows never cross the border of a condition.
    window_seconds: float = setting(60.0, above(0.0, 3600.0))
    # Seconds from the start of a window to the start of the next.
    step_seconds: float = setting(30.0, above(0.0, 3600.0))


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which recordings, and how they are prepared."""

    # "simulated" = made up here, needs no files; "dmer", "wesad" = as published; "folder" = your own.
    kind: str = setting("simulated", one_of("simulated", "dmer", "wesad", "folder"))
    # Folder or file on disk; unused by "simulated".
    path: str = setting("", PATH)
    # Modalities to use; () = all of the data set.
    modalities: tuple[str, ...] = setting((), each(WORD))
    # Standardise each person's features with that person's whole recording, no labels; every output names it.
    per_subject_standardise: bool = setting(False, SWITCH)
    # Where converted recordings are kept; "" = the user's cache folder. Where it cannot be written they are
    # computed anew in each run.
    cache: str = setting("", PATH)
    simulate: SimulateConfig = part(SimulateConfig)
    dmer: DmerConfig = part(DmerConfig)
    wesad: WesadConfig = part(WesadConfig)


PROTOCOLS = (
    "loso",
    "subject_kfold",
    "fixed_48_12_13",
    "calibrated",
    "trial_kfold",
    "stimulus_kfold",
    "subject_x_stimulus",
    "window80",
)


@dataclasses.dataclass(frozen=True)
class ProtocolConfig:
    """What is held out (`data/splits/protocols.py`, pictures: docs/protocols.md)."""

    # Whose or which windows a model has never seen when it is tested; "window80" leaks.
    kind: str = setting("subject_kfold", one_of(*PROTOCOLS))
    # Number of folds of the k-fold protocols (subject_x_stimulus: folds of people and of stimuli).
    folds: int = setting(5, between(2, 10_000))
    # Run only these folds, counted from 0; () = all.
    only: tuple[int, ...] = setting((), each(between(0, 9_999)))
    # "calibrated": labelled trials of the tested person that are trained on; 0 = loso on the same test rows.
    calibration: int = setting(1, between(0, 1000))
    # "calibrated": trials of each person that are kept for calibration and never tested, so that all n compare.
    calibration_most: int = setting(3, between(1, 1000))
    # Share of the groups of a training part that become validation rows; 0 = none. "fixed_48_12_13" has its own.
    validation: float = setting(0.0, below_one())
    # Seed of the shuffled groups; independent of the seed of training.
    seed: int = setting(0, SEED)
    # Use the folds of this manifest file instead of making them; "" = make them.
    manifest: str = setting("", PATH)
