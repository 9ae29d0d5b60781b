"""Settings of the recordings and of the split (all settings: `config/schema.py`)."""

from typing import Annotated, Literal, get_args

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic.dataclasses import dataclass

from mpcl_jax.config.fields import STRICT, LocalPath, Name, Options, Seconds, Seed, Share

Protocol = Literal[
    "loso",
    "subject_kfold",
    "fixed_48_12_13",
    "calibrated",
    "trial_kfold",
    "stimulus_kfold",
    "subject_x_stimulus",
    "sequential",
    "few_shot",
    "window80",
]
PROTOCOLS = get_args(Protocol)
BY_TRIAL = ("trial_kfold", "calibrated", "sequential", "few_shot")  # need trials that the files name
WRITTEN = ("sequential", "few_shot")  # trials of a tested subject are written into the personal memory


@dataclass(frozen=True, config=STRICT)
class SimulateConfig:
    """Simulated recordings with planted prototypes, valence groups and co-occurrence (`data/simulate.py`)."""

    subjects: StrictInt = Field(24, ge=2, le=10_000)
    """Number of subjects. The data set has subjects × clips × windows rows."""
    clips: StrictInt = Field(24, ge=2, le=10_000)
    """Number of stimuli (clips); every subject watches all of them."""
    windows: StrictInt = Field(3, ge=1, le=10_000)
    """Number of windows cut from each trial."""
    emotions: StrictInt = Field(10, ge=2, le=100)
    """Number of emotions; half of them are positive, half negative."""
    prototypes: StrictInt = Field(2, ge=1, le=100)
    """Planted prototypes per emotion and modality group."""
    noise: StrictFloat = Field(1.0, ge=0, le=1000)
    """Standard deviation of the noise on every feature; 1 = as large as the signal."""
    subject_effect: StrictFloat = Field(0.5, ge=0, le=1000)
    """Standard deviation of the offset of a subject on every feature, in the same unit."""
    missing: Share = 0.0
    """Probability that a modality is absent from a window; at least one modality stays."""
    seed: Seed = 0
    """Seed of the simulated data; independent of the seed of training."""


@dataclass(frozen=True, config=STRICT)
class DmerConfig:
    """DMER (Yang et al. 2024), any of its four layouts (`data/dmer/load.py`)."""

    subjects: tuple[Annotated[StrictInt, Field(ge=1, le=10_000)], ...] = ()
    """Numbers of the subjects to use; () = all that are found."""
    complex_part: Literal["real", "magnitude"] = "real"
    """The published peripheral features are complex; "real" drops the imaginary part of the FFT columns."""
    window_seconds: Seconds = 5.0
    """Length of a window of the aligned signals; layout A only."""
    step_seconds: Seconds = 1.0
    """Seconds from the start of a window to the start of the next; layout A only."""


@dataclass(frozen=True, config=STRICT)
class WesadConfig:
    """WESAD (Schmidt et al. 2018), the official folders (`data/wesad/load.py`)."""

    subjects: tuple[StrictStr, ...] = ()
    """Names of the subjects to use, e.g. ("S2", "S3"); () = all that are found."""
    labels: Literal["panas24", "panas23", "dmer9"] = "panas24"
    """Items of the questionnaire from which the distribution is made."""
    devices: Literal["wrist", "chest", "both"] = "wrist"
    """ "wrist" = Empatica E4; "chest" = RespiBAN chest strap; "both" = both."""
    window_seconds: Seconds = 60.0
    """Length of a window. Windows never cross the border of a condition."""
    step_seconds: Seconds = 30.0
    """Seconds from the start of a window to the start of the next."""


@dataclass(frozen=True, config=STRICT)
class DataConfig:
    """The recordings, and how they are prepared."""

    kind: Name = "simulated"
    """Data set: "simulated" (needs no files), "dmer", "wesad", "folder" (own recordings), or a registered name."""
    path: LocalPath = ""
    """Folder or file of the data set; unused by "simulated"."""
    modalities: tuple[StrictStr, ...] = ()
    """Modalities to use; () = all of the data set."""
    per_subject_standardise: StrictBool = False
    """Standardise the features of each subject with all windows of the subject, without labels; a note reports it."""
    cache: LocalPath = ""
    """Folder for converted recordings; "" = the cache folder of the user. A read-only folder is not used."""
    options: Options = ()
    """Options of a registered data set by name, e.g. --config.data.options.window=5."""
    simulate: SimulateConfig = SimulateConfig()
    dmer: DmerConfig = DmerConfig()
    wesad: WesadConfig = WesadConfig()


@dataclass(frozen=True, config=STRICT)
class ProtocolConfig:
    """Which data are held out for the test (`data/splits/protocols.py`; pictures in the docs)."""

    kind: Protocol = "subject_kfold"
    """Protocol: which subjects, trials, stimuli or windows are held out for the test; "window80" leaks."""
    folds: StrictInt = Field(5, ge=2, le=10_000)
    """Number of folds of the k-fold protocols (subject_x_stimulus: folds of subjects and of stimuli)."""
    only: tuple[Annotated[StrictInt, Field(ge=0, le=9_999)], ...] = ()
    """Run only these folds, counted from 0: (0,) is "fold 1 of 5" of the output; () = all."""
    calibration: StrictInt = Field(1, ge=0, le=1000)
    """Labelled trials of a test subject: trained on ("calibrated"), or its first ones, written into the memory
    ("few_shot"). 0 = none, on the same test rows."""
    calibration_pool: StrictInt = Field(3, ge=1, le=1000)
    """Trials of each subject that are reserved for calibration and never tested ("calibrated", "few_shot")."""
    validation: Share = 0.0
    """Share of the groups of a training part used for validation; 0 = none. "fixed_48_12_13" has its own."""
    seed: Seed = 0
    """Seed of the shuffled groups; independent of the seed of training."""
    manifest: LocalPath = ""
    """Manifest file whose folds are used; "" = the folds are drawn with `seed`."""
