"""Every setting of a run: its meaning, its default and its allowed range.

Those of the recordings stand in `config/data.py`, those of the model in `config/model.py`.

Frozen dataclasses, so that they can be attributes of Flax modules and static arguments. `config/resolve.py` fills
them from a config file and the command line and refuses what is not allowed. An upper end that no method asks
for is there to catch slips: a learning rate of 20 for 2e-3, epochs that would outlast the machine.
"""

import dataclasses

from mpcl_jax.config.data import DataConfig, ProtocolConfig
from mpcl_jax.config.fields import (
    SEED,
    SWITCH,
    WORD,
    Allowed,
    above,
    below_one,
    between,
    each,
    one_of,
    or_auto,
    part,
    setting,
)
from mpcl_jax.config.model import LossConfig, ModelConfig

# In the order of the rows of a table; what each is: docs/baselines.md.
QUICK_BASELINES = (
    *("uniform", "train_mean", "subject_mean", "stimulus_mean", "duration_only"),
    *("knn", "ridge", "sa_bfgs", "late_fusion", "extra_trees", "mlp"),
)
BASELINES = (*QUICK_BASELINES, "emotion_dict", "helo")
# Given the true stimulus of each window: an upper bound, listed apart and never the best baseline.
ORACLES = ("stimulus_mean",)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation."""

    # Passes over the training part of a fold; "auto" = by the number of training windows (train/sizes.py).
    epochs: int = setting(60, or_auto(between(1, 1_000_000)))
    # Global batch, over all devices of the machine.
    batch_size: int = setting(128, between(1, 1_000_000))
    # Peak of the schedule (AdamW).
    learning_rate: float = setting(2e-3, above(0.0, 10.0))
    # Share of all steps spent warming up; the rest is a cosine to 0.
    warmup: float = setting(0.05, below_one())
    # Pull of AdamW towards 0 on all that has two axes; biases, norms and inverse temperatures are left alone.
    weight_decay: float = setting(0.1, between(0.0, 100.0))
    # Largest global norm of a gradient.
    clip: float = setting(1.0, above(0.0, 1e6))
    # Mixup: each training sample becomes a mixture with another, with shares from Beta(this, this). 0 = never.
    mixup: float = setting(0.0, between(0.0, 100.0))
    # Probability that a present modality is hidden from a training sample. At least one always stays.
    drop_modality: float = setting(0.1, below_one())
    # Probability that a whole present group is hidden from a training sample, if the other has something.
    drop_group: float = setting(0.1, below_one())
    # "last": the parameters of the last epoch. "best": of the epoch with the lowest validation KL.
    select: str = setting("last", one_of("last", "best"))
    # A step whose loss is not finite changes nothing; so many in a row end the training.
    skips_in_a_row: int = setting(3, between(1, 1_000_000))
    # A step whose loss is more than this many times the mean loss of the last epoch changes nothing. 0 = never.
    spike: float = setting(0.0, Allowed("0, or >= 2 and <= 1e6", lambda x: x == 0 or 2 <= x <= 1e6))
    # Epochs between two checkpoints of the running fold.
    checkpoint_every: int = setting(20, between(1, 1_000_000))
    # Of matrix products: "float32", or "bfloat16" compute with float32 parameters, banks and losses.
    precision: str = setting("float32", one_of("float32", "bfloat16"))
    # Random numbers: "rbg" is the faster one; folds trained at once need "threefry2x32".
    generator: str = setting("rbg", one_of("rbg", "threefry2x32"))
    # For data larger than the device: so many windows are moved there at a time, while the ones before are trained
    # on; the same batches, keys and bits. 0 = all windows lie on the device.
    stream_rows: int = setting(0, between(0, 10**9))
    # Folds trained at once in one program; pays on a GPU or TPU, not on a CPU. 1 = one after the other.
    folds_at_once: int = setting(1, between(1, 10_000))


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """The rows that share a table with MPCL."""

    # Baselines to run on the same manifest; ("all",) adds the two predecessors, a minute of CPU time each
    # per fold of WESAD. The train mean always runs.
    baselines: tuple[str, ...] = setting(QUICK_BASELINES, each(one_of(*BASELINES, "all")))
    # Settings that each baseline may try per fold, on inner grouped splits of the training part.
    tries: int = setting(6, between(1, 1000))


@dataclasses.dataclass(frozen=True)
class DistributedConfig:
    """Several processes that train as one, each started with the same command (docs/pods.md)."""

    # "off": alone. "given": by the three settings below. "auto": as TPU pod, SLURM, Open MPI or Kubernetes say.
    start: str = setting("off", one_of("off", "given", "auto"))
    # host:port of process 0, which must be free there; the same for all processes.
    coordinator: str = setting("", WORD)
    # How many processes there are.
    process_count: int = setting(1, between(1, 100_000))
    # Which one this is, counted from 0; the only setting in which the processes differ.
    process_id: int = setting(0, between(0, 99_999))
    # Groups of devices, each of which trains its own share of the folds at once. 1 = all split the batch.
    fold_axis: int = setting(1, between(1, 100_000))
    # Seconds that processes wait for one another where they meet: start, data, compilation.
    patience: int = setting(600, between(5, 86_400))
    # Seconds of silence after which a process counts as dead and all others end.
    heartbeat: int = setting(60, between(5, 3600))


@dataclasses.dataclass(frozen=True)
class LogConfig:
    """What a run writes besides its results."""

    # TensorBoard event files in <workdir>/tensorboard; needs the extra `tb`.
    tensorboard: bool = setting(False, SWITCH)
    # Write <workdir>/report.html, pictures and all, when the run ends; a few seconds.
    report: bool = setting(True, SWITCH)
    # Keep compiled programs in the user's cache folder: the next start takes a third of the time.
    keep_compiled: bool = setting(True, SWITCH)


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole run."""

    # Seed of initialisation, batches and dropout.
    seed: int = setting(0, SEED)
    data: DataConfig = part(DataConfig)
    protocol: ProtocolConfig = part(ProtocolConfig)
    model: ModelConfig = part(ModelConfig)
    loss: LossConfig = part(LossConfig)
    train: TrainConfig = part(TrainConfig)
    benchmark: BenchmarkConfig = part(BenchmarkConfig)
    distributed: DistributedConfig = part(DistributedConfig)
    log: LogConfig = part(LogConfig)
