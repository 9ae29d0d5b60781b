"""Defects that somebody could make by accident: a file, what stands there, what then would, and the tests asked.

Each is one change to one place. `test_mutation.py` makes them one by one and asks whether a test fails.
"""

from typing import NamedTuple


class Defect(NamedTuple):
    """One planted defect."""

    file: str  # below mpcl_jax/
    good: str  # occurs there once
    bad: str
    tests: str  # arguments of pytest


STEP = "tests/train/test_step.py"
AUGMENT = "tests/train/test_augment.py"
PROTOTYPES = "tests/model/test_prototypes.py"
RUN = "tests/train/test_run.py"
PROTECTION = "tests/train/test_protection.py"
EPOCH = "tests/train/test_folds.py"
CHECKPOINT = "tests/train/test_checkpoint.py"
SPLIT = "tests/data/test_protocols.py tests/data/test_manifest.py"

STEPS = [
    Defect(
        "train/step.py", "_all_finite((total, norm, prototypes))", "_all_finite((total, prototypes))", STEP
    ),
    Defect(
        "train/step.py", "_all_finite((total, norm, prototypes)) & (total <= most)", "total <= most", STEP
    ),
    Defect("train/step.py", " & (total <= most)", "", STEP),
    Defect(
        "train/step.py",
        "(params, opt_state, prototypes), (state.params,",
        "(params, opt_state, state.prototypes), (state.params,",
        STEP,
    ),
    Defect("train/step.py", 'rngs={"dropout": key}', 'rngs={"dropout": jax.random.key(0)}', STEP),
    Defect("train/step.py", "TrainState(state.step + 1,", "TrainState(state.step,", STEP),
    Defect(
        "train/step.py",
        "reported, batch.weight, output.present",
        "reported, jnp.ones_like(batch.weight), output.present",
        STEP,
    ),
    Defect("train/step.py", "reported, batch.weight", "batch.labels, batch.weight", STEP),
    Defect("train/augment.py", "jnp.where(something, x, batch.present[m])", "x", AUGMENT),
    Defect(
        "train/augment.py",
        "bernoulli(drop_key, drop_group",
        "bernoulli(drop_key, settings.modality_dropout",
        AUGMENT,
    ),
    Defect("train/augment.py", "labels=mixed(batch.labels)", "labels=batch.labels", AUGMENT),
]
FOLDS = [
    Defect("train/epoch.py", "jax.random.fold_in(key, number + 1), most", "key, most", EPOCH),
    Defect("train/epoch.py", "< fold.train_count, drawn, 2.0)", "< 2**30, drawn, 2.0)", EPOCH),
    Defect(
        "train/epoch.py", "(count * size) % fold.train_count]", "(count * size) % len(fold.train)]", EPOCH
    ),
    Defect("train/epoch.py", "jnp.isfinite(kl) & (kl < ", "jnp.isfinite(kl) & (kl > ", RUN),
    Defect("train/epoch.py", "jnp.isfinite(kl) & (kl < ", "(kl < ", PROTECTION),
    Defect("train/epoch.py", "jnp.where(real, per_row, 0.0)", "per_row", PROTECTION),
    Defect("train/epoch.py", "(known - fold.mean[m][None])", "known", EPOCH),
    Defect("train/epoch.py", "fold.median[m][None], x)", "fold.mean[m][None], x)", EPOCH),
    Defect("train/epoch.py", "jnp.where(made, values, 0.0)", "values", PROTECTION),
    Defect("train/epoch.py", "-1 - guard.skipped[-1]", "-1", PROTECTION),
]
STATES = [
    Defect(
        "train/state.py",
        "if training.best is None else training.best",
        "if True else training.best",
        "tests/train/test_state.py",
    ),
    Defect("train/state.py", "x.ndim >= 2", "x.ndim >= 0", "tests/train/test_state.py"),
    Defect("train/state.py", "int(settings.warmup * steps)", "0", "tests/train/test_state.py"),
    Defect(
        "train/state.py",
        "optax.clip_by_global_norm(settings.clip)",
        "optax.identity()",
        "tests/train/test_state.py",
    ),
    Defect(
        "train/state.py",
        'start_at_mean(made["params"], label_mean)',
        'made["params"]',
        "tests/train/test_state.py",
    ),
]
LOOPS = [
    Defect(
        "train/loop.py",
        "jax.random.fold_in(member.key, epoch) for member",
        "jax.random.fold_in(member.key, epoch - done) for member",
        RUN,
    ),
    Defect(
        "train/run.py",
        "jax.random.fold_in(seed, _own_number(fold))",
        "jax.random.fold_in(seed, number)",
        PROTECTION,
    ),
    Defect(
        "train/run.py",
        "training_part = take(run.recordings, fold.train)",
        "training_part = run.recordings",
        RUN,
    ),
    Defect(
        "train/loop.py",
        " or epoch == settings.epochs or stopping",
        " or epoch == settings.epochs",
        PROTECTION,
    ),
    Defect("train/loop.py", "run.log.drop_after(member.number, done)", "0", RUN),
    Defect("train/evaluate.py", "from_log_probs(real(", "(real(", RUN),
    Defect("train/run_folder.py", "if change.kind == REFUSED]", "if False]", RUN),
]
CHECKPOINTS = [
    Defect(
        "train/checkpoint.py",
        "damage = sums.damage_in(folder / str(epoch), sums.of_epoch(epoch))",
        "damage = None",
        CHECKPOINT,
    ),
    Defect("train/checkpoint.py", "    _require_own(saved, saved.folder / str(whole))\n", "", CHECKPOINT),
    Defect("train/checkpoint.py", "    _require_finite(training, epoch)\n", "", CHECKPOINT),
    Defect("train/checkpoint.py", "KEPT = 2", "KEPT = 1", CHECKPOINT),
    Defect(
        "train/checkpoint.py",
        "    os.rename(folder / str(epoch), pathlib.Path(tempfile.mkdtemp(dir=folder / TRASH), str(epoch)))",
        "    shutil.rmtree(folder / str(epoch))",
        CHECKPOINT,
    ),
    Defect(
        "train/checkpoint.py",
        '"state": ocp.args.StandardSave(training)',
        '"state": ocp.args.StandardSave(jax.tree.map(lambda x: x if x.ndim != 1 else 0 * x, training))',
        CHECKPOINT,
    ),
    Defect(
        "train/checkpoint.py",
        "                _require_room(saved.folder / UNFINISHED, size)\n",
        "                pass\n",
        CHECKPOINT,
    ),
    Defect(
        "train/checkpoint.py",
        "raise ConfigError(_all_damaged(saved.folder, damaged))",
        "return None",
        CHECKPOINT,
    ),
    Defect(
        "system/checksums.py", "if text != body + _seal(body):", "if False:", "tests/system/test_checksums.py"
    ),
    Defect("system/checksums.py", "if name not in found:", "if False:", "tests/system/test_checksums.py"),
    Defect(
        "system/checksums.py",
        "if _digest(folder / name) != wanted[name]:",
        "if False:",
        "tests/system/test_checksums.py",
    ),
]
MEMORIES = [
    Defect(
        "model/prototypes.py",
        "keep = settings.momentum ** jnp.minimum(mass, 1.0)",
        "keep = (1 - settings.momentum) ** jnp.minimum(mass, 1.0)",
        PROTOTYPES,
    ),
    Defect(
        "model/prototypes.py", "bank = jnp.where(moves, moved, prototypes.bank)", "bank = moved", PROTOTYPES
    ),
    Defect("model/prototypes.py", "chosen = dead & (", "chosen = (", PROTOTYPES),
    Defect(
        "model/prototypes.py",
        "jnp.where(first, 0.0, jnp.where(samples",
        "jnp.where(False, 0.0, jnp.where(samples",
        PROTOTYPES,
    ),
    Defect(
        "model/prototypes.py", "seen = assigned * present[:, :, None, None]", "seen = assigned", PROTOTYPES
    ),
    Defect(
        "model/prototypes.py",
        "evidence = weight[:, None] * evidence_of(",
        "evidence = evidence_of(",
        PROTOTYPES,
    ),
    Defect("model/prototypes.py", "paired=settings.paired", "paired=False", PROTOTYPES),
    Defect("model/prototypes.py", "prototypes.mass + mass, usage", "mass, usage", PROTOTYPES),
]
SPLITS = [
    Defect("data/splits/protocols.py", "return train & np.isin(codes,", "return np.isin(codes,", SPLIT),
    Defect(
        "data/splits/protocols.py",
        '_deal("subject", recordings.subject, no_strata, settings.folds, rng)\n    elif',
        '_deal("subject", recordings.trial, no_strata, settings.folds, rng)\n    elif',
        SPLIT,
    ),
    Defect(
        "data/splits/protocols.py",
        "np.random.default_rng([settings.seed, 0])",
        "np.random.default_rng([0, 0])",
        SPLIT,
    ),
    Defect("data/splits/protocols.py", "[_Masks(~who & ~what, ", "[_Masks(~(who & what), ", SPLIT),
    Defect("data/splits/manifest.py", 'if split.sha256 != content.get("sha256"):', "if False:", SPLIT),
    Defect(
        "data/normalise.py",
        "return Normalisation(mean, std, median)",
        "return Normalisation({m: 0 * x for m, x in mean.items()}, std, median)",
        "tests/data/test_normalise.py",
    ),
]
DEFECTS = [*STEPS, *FOLDS, *STATES, *LOOPS, *CHECKPOINTS, *MEMORIES, *SPLITS]
