"""Every setting of a run: its meaning, its default and its allowed range, in one place.

Frozen dataclasses, so that they can be attributes of Flax modules and static arguments. `config.py` fills
them from a config file and the command line and refuses what is not allowed. An upper end that no method asks
for is there to catch slips: a learning rate of 20 for 2e-3, epochs that would outlast the machine.
"""

import dataclasses

from mpcl_jax.allowed import SWITCH, WORD, Allowed, above, below_one, between, each, one_of, part, setting

SEED = between(0, 2**32 - 1)


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
    """DMER (Yang et al. 2024), any of its four layouts (`data/dmer.py`)."""

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
    """WESAD (Schmidt et al. 2018), the official folders (`data/wesad.py`)."""

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
    path: str = setting("", WORD)
    # Modalities to use; () = all of the data set.
    modalities: tuple[str, ...] = setting((), each(WORD))
    # Standardise each person's features with that person's whole recording, no labels; every output names it.
    per_subject_standardise: bool = setting(False, SWITCH)
    # Where converted recordings are kept; "" = the user's cache folder.
    cache: str = setting("", WORD)
    simulate: SimulateConfig = part(SimulateConfig)
    dmer: DmerConfig = part(DmerConfig)
    wesad: WesadConfig = part(WesadConfig)


PROTOCOLS = ("loso", "subject_kfold", "trial_kfold", "stimulus_kfold", "subject_x_stimulus", "window80")
BASELINES = ("uniform", "train_mean", "knn", "ridge", "extra_trees", "mlp")


@dataclasses.dataclass(frozen=True)
class ProtocolConfig:
    """What is held out (`data/protocols.py`)."""

    # Whose or which windows a model has never seen when it is tested; "window80" leaks.
    kind: str = setting("subject_kfold", one_of(*PROTOCOLS))
    # Number of folds of the k-fold protocols (subject_x_stimulus: folds of people and of stimuli).
    folds: int = setting(5, between(2, 10_000))
    # Run only these folds, counted from 0; () = all.
    only: tuple[int, ...] = setting((), each(between(0, 9_999)))
    # Share of the groups of a training part that become validation rows; 0 = none.
    validation: float = setting(0.0, below_one())
    # Seed of the shuffled groups; independent of the seed of training.
    seed: int = setting(0, SEED)
    # Use the folds of this manifest file instead of making them; "" = make them.
    manifest: str = setting("", WORD)


@dataclasses.dataclass(frozen=True)
class FusionConfig:
    """Stage 1: multi-scale associative memory fusion."""

    # Inverse temperatures at the start, in units of 1/sqrt(width of a head); one entry = a single scale.
    scales: tuple[float, ...] = setting((0.25, 1.0, 4.0), each(above(0.0, 1e6), least=1))
    # Heads of every retrieval; the model's width is a multiple of it.
    heads: int = setting(4, between(1, 1024))
    # Tokens may recall those of their own modality group; both off = tokens are only concatenated.
    within_group: bool = setting(True, SWITCH)
    # Tokens may recall those of the other group.
    across_groups: bool = setting(True, SWITCH)
    # Width of the token MLP in units of the model's width.
    mlp_ratio: float = setting(2.0, above(0.0, 64.0))


@dataclasses.dataclass(frozen=True)
class MemoryConfig:
    """Stage 2a: emotion-specific prototype memory banks."""

    # Off: no banks, no retrieval; emotion tokens come from the fused groups alone.
    enabled: bool = setting(True, SWITCH)
    # K, prototypes per emotion and group. 1 = one centre per emotion.
    slots: int = setting(4, between(1, 1024))
    # Softmax temperature of the similarity of a query to a prototype; small = only the nearest one counts.
    temperature: float = setting(0.1, between(1e-4, 1e3))
    # Temperature at which a sample is shared out among the slots of an emotion when they are updated. Slots
    # stay identical where it is larger than the spread of their queries (measured on the simulated default:
    # mean cosine of two slots of an emotion .98 at 0.1, .67 at 0.03, .50 at 0.01).
    assign_temperature: float = setting(0.02, between(1e-4, 1e3))
    # Fraction of a prototype that one batch with full evidence keeps. 1 = never moves.
    momentum: float = setting(0.99, between(0.0, 1.0))
    # "momentum": moved by evidence, no gradient. "gradient": trained like any parameter.
    update: str = setting("momentum", one_of("momentum", "gradient"))
    # "above_floor": the part of the label above its own minimum. "raw": the label itself.
    evidence: str = setting("above_floor", one_of("above_floor", "raw"))
    # A sample moves the prototypes of emotion c in proportion to its evidence for c to this power. At 1 slots part
    # by the other emotions of a sample, at 2 by what the emotion itself looks like (docs/method.md, 2a).
    evidence_power: float = setting(2.0, between(0.5, 16.0))
    # One assignment for both banks, so that slot (c, k) means the same event on both sides.
    paired: bool = setting(True, SWITCH)
    # "evidence": a slot is the running mean of its evidence until that is as long as the momentum's memory.
    # "noise": momentum from the first step on, starting from random unit vectors.
    start: str = setting("evidence", one_of("evidence", "noise"))
    # A slot used less than this share of what its emotion's slots get on average is re-seeded. 0 = never.
    reseed_below: float = setting(0.02, below_one())


@dataclasses.dataclass(frozen=True)
class CooccurrenceConfig:
    """Stage 2c: memory retrieval of co-occurrence."""

    # Off: no emotion calls up another.
    enabled: bool = setting(True, SWITCH)
    # Inverse temperature of the retrieval at the start; learned.
    beta: float = setting(8.0, above(0.0, 1e6))
    # Use the remembered co-occurrence as a prior of the retrieval.
    prior: bool = setting(True, SWITCH)


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """Stage 3: hierarchical compression and the distribution."""

    # "valence": emotions -> valence groups -> one. "flat": emotions -> one. "mean": no learned compression.
    hierarchy: str = setting("valence", one_of("valence", "flat", "mean"))
    # Add a linear map of the wide group features to the logits, zero at the start.
    direct: bool = setting(True, SWITCH)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Sizes and switches of the model; one field per design choice of docs/method.md."""

    # D, width of every token and prototype.
    width: int = setting(64, between(4, 16_384))
    # N_m, tokens that the encoder makes of each modality.
    tokens: int = setting(4, between(1, 1024))
    # Dropout on tokens and inside the head.
    dropout: float = setting(0.2, below_one())
    # Dropout on the features themselves, before the encoders; the strongest brake where people are few.
    input_dropout: float = setting(0.0, below_one())
    fusion: FusionConfig = part(FusionConfig)
    memory: MemoryConfig = part(MemoryConfig)
    cooccurrence: CooccurrenceConfig = part(CooccurrenceConfig)
    head: HeadConfig = part(HeadConfig)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the named terms; 0 removes a term exactly. The distribution term has weight 1."""

    # Both sides relate a sample to the prototypes alike (stage 2b).
    relation_distillation: float = setting(0.1, between(0.0, 1000.0))
    # A query lies nearest to the prototypes of the emotions that were reported.
    prototype: float = setting(0.3, between(0.0, 1000.0))
    # An emotion calls up those that were reported with it.
    cooccurrence: float = setting(1.0, between(0.0, 1000.0))


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimisation."""

    # Passes over the training part of a fold.
    epochs: int = setting(60, between(1, 1_000_000))
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
    # Folds trained at once in one program; pays on a GPU or TPU, not on a CPU. 1 = one after the other.
    folds_at_once: int = setting(1, between(1, 10_000))


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig:
    """The rows that share a table with MPCL."""

    # Baselines to run on the same manifest. The train mean always runs.
    baselines: tuple[str, ...] = setting(BASELINES, each(one_of(*BASELINES)))
    # Candidates that the MLP's random search may try per fold, on validation groups of the training part.
    mlp_trials: int = setting(6, between(1, 1000))


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
