"""Every setting of a run: type, default and range; the sentence below a setting is its meaning.

Settings of the recordings are in `config/data.py`, those of the model in `config/model.py`. `mpcl train --help`
prints all of them.

The classes are frozen and hashable, so that they can be attributes of Flax modules and static arguments. Upper
limits are far beyond useful values: they refuse typing errors.
"""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr
from pydantic.dataclasses import dataclass

from mpcl_jax.config.data import DataConfig, ProtocolConfig
from mpcl_jax.config.fields import STRICT, Fraction, Name, Positive, Seed, Share
from mpcl_jax.config.model import LossConfig, ModelConfig

# In the order of the rows of a table.
QUICK_BASELINES = (
    *("uniform", "train_mean", "subject_mean", "stimulus_mean", "duration_only"),
    *("knn", "ridge", "sa_bfgs", "late_fusion", "extra_trees", "mlp"),
)
BASELINES = (
    *QUICK_BASELINES,
    *("condition", "kernel_ridge", "boosting", "average", "emotion_dict", "helo", "helo_sinkhorn"),
)
REFERENCE = "train_mean"  # always runs: the skill of a method is relative to it
# Upper bounds given the true stimulus of each window; listed apart and never the best baseline.
ORACLES = ("stimulus_mean",)


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """Optimisation."""

    epochs: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | Literal["auto"] = 60
    """Passes over the training part of a fold; "auto" = by the number of training windows."""
    batch_size: StrictInt = Field(128, ge=1, le=1_000_000)
    """Global batch size, over all devices."""
    learning_rate: Annotated[StrictFloat, Field(gt=0, le=10)] | Literal["auto"] = 2e-3
    """Peak of the learning rate schedule (AdamW); "auto" = by the number of training windows."""
    warmup: Share = 0.05
    """Share of all steps in which the learning rate rises; afterwards it falls to 0 as a cosine."""
    weight_decay: StrictFloat = Field(0.1, ge=0, le=100)
    """Weight decay of AdamW on all matrices; not on biases, norms and inverse temperatures."""
    clip: Positive = 1.0
    """Largest global norm of a gradient."""
    mixup: StrictFloat = Field(0.0, ge=0, le=100)
    """Mixup: pairs of samples are mixed with a share drawn from Beta(mixup, mixup); 0 = no mixup."""
    stimulus_averaging: Fraction = 0.0
    """Share of the mean report of the stimulus in the target of a training window, over the training subjects that
    had it; the rest is the report of the window. 0 = the report alone. No effect where no stimulus is shared."""
    modality_dropout: Share = 0.1
    """Probability that a present modality is removed from a training sample; at least one modality stays."""
    group_dropout: Share = 0.1
    """Probability that a modality group is removed from a training sample in which the other group is present."""
    select: Literal["last", "best", "inner", "auto"] = "last"
    """ "last": parameters of the last epoch. "best": those of the epoch with the lowest validation KL. "inner": stop
    at the epoch with the lowest KL on inner grouped folds of the training part. "auto": "inner" for few windows."""
    max_consecutive_skips: StrictInt = Field(3, ge=1, le=1_000_000)
    """A step whose loss is not finite is skipped; training stops after this number of skipped steps in a row."""
    spike_threshold: StrictFloat = Field(0.0, ge=0, le=1e6)
    """Skip a step whose loss exceeds this many times the mean loss of the last epoch; 0 = never, else at least 2."""
    checkpoint_every: StrictInt = Field(20, ge=1, le=1_000_000)
    """Number of epochs between two checkpoints of a fold."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products; parameters, memory banks and losses are always float32."""
    generator: Literal["rbg", "threefry2x32"] = "rbg"
    """Random number generator: "rbg" is faster; folds trained at once need "threefry2x32"."""
    stream_rows: StrictInt = Field(0, ge=0, le=10**9)
    """Number of windows moved to the device at a time, for data larger than its memory; 0 = all. Same results."""
    folds_at_once: StrictInt = Field(1, ge=1, le=10_000)
    """Number of folds trained at once in one program; faster on a GPU or TPU, not on a CPU. 1 = one after another."""


@dataclass(frozen=True, config=STRICT)
class BenchmarkConfig:
    """Baselines in the same table as MPCL."""

    baselines: tuple[Name, ...] = QUICK_BASELINES
    """Baselines on the same manifest; ("all",) = every registered one. The train mean always runs."""
    tries: StrictInt = Field(6, ge=1, le=1000)
    """Hyper-parameter settings that each baseline may try per fold, on inner grouped splits of its training part."""
    # The opponents of the published tables recall the subject's own trials only; docs/few_shot.md has both.
    other_subjects: StrictBool = False
    """Baselines, too, may use the personal memory that learns from other subjects; off: only MPCL."""


@dataclass(frozen=True, config=STRICT)
class DistributedConfig:
    """Several processes that train one model; each is started with the same command."""

    start: Literal["off", "given", "auto"] = "off"
    """ "off": one process. "given": by the three settings below. "auto": from TPU pod, SLURM, MPI, Kubernetes."""
    coordinator: StrictStr = ""
    """host:port of process 0, a free port there; the same for all processes."""
    process_count: StrictInt = Field(1, ge=1, le=100_000)
    """Number of processes."""
    process_id: StrictInt = Field(0, ge=0, le=99_999)
    """Number of this process, counted from 0; the only setting in which the processes differ."""
    fold_axis: StrictInt = Field(1, ge=1, le=100_000)
    """Number of groups of devices; each trains a part of the folds at once. 1 = all devices share each batch."""
    timeout: StrictInt = Field(600, ge=5, le=86_400)
    """Seconds that a process waits for the others at start, data and compilation."""
    heartbeat: StrictInt = Field(60, ge=5, le=3600)
    """Seconds without a signal after which a process counts as failed and all other processes exit."""


@dataclass(frozen=True, config=STRICT)
class LogConfig:
    """Outputs of a run besides its results."""

    tensorboard: StrictBool = False
    """TensorBoard event files in <workdir>/tensorboard; needs the extra `tb`."""
    report: StrictBool = True
    """Write <workdir>/report.html when the run ends; takes a few seconds."""
    keep_compiled: StrictBool = True
    """Keep compiled programs in the cache folder of the user; the next start takes a third of the time."""


@dataclass(frozen=True, config=STRICT)
class Config:
    """A whole run."""

    seed: Seed = 0
    """Seed of initialisation, batches and dropout."""
    data: DataConfig = DataConfig()
    protocol: ProtocolConfig = ProtocolConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    train: TrainConfig = TrainConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    distributed: DistributedConfig = DistributedConfig()
    log: LogConfig = LogConfig()
