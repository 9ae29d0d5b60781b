"""What a fold carries over from elsewhere: steps, memory, losses, settings and origin of its checkpoint."""

import dataclasses
import json

import numpy as np

from mpcl_jax.evaluate.audit.evidence import Evidence, FoldEvidence
from mpcl_jax.evaluate.audit.finding import Finding, green, red
from mpcl_jax.evaluate.audit.training import gone
from mpcl_jax.labels import evidence_of

FRESH = 0.6  # of the first fold's first loss, below which another fold did not start fresh
# Settings that may differ between a checkpoint and its run: they change no number.
HARMLESS = ("log", "distributed", "benchmark")


def check_state(evidence: Evidence) -> list[Finding]:
    """Every fold started from nothing: steps, evidence in its memory, first loss, origin."""
    folds = [fold for fold in evidence.folds if fold.checkpoint is not None]
    if not folds:
        return [gone("state")]
    # All folds of a run share one compiled epoch; more steps than the others is more than one training.
    steps = min(fold.checkpoint.step // fold.checkpoint.epoch for fold in folds)
    found = [
        finding for fold in folds for finding in (*_origin(evidence, fold), *_steps(evidence, fold, steps))
    ]
    found += _memory(evidence, folds, steps) + _same_memory(folds) + _first_losses(evidence)
    counted = f"{len(folds)} fold(s): steps, evidence, first loss and origin are those of a fresh start"
    return found or [green("state", counted)]


def _origin(evidence: Evidence, fold: FoldEvidence) -> list[Finding]:
    wanted = {
        "data": evidence.data.get("sha256"),
        "split": evidence.manifest.get("sha256"),
        "fold": fold.name,
    }
    wrong = [name for name, value in wanted.items() if fold.checkpoint.origin.get(name) != value]
    found = [red("state", f"{fold.name}: its checkpoint is of another {name}") for name in wrong]
    own = json.loads(json.dumps(dataclasses.asdict(evidence.config)))
    differing = sorted(
        name
        for name in own
        if name not in HARMLESS
        and _without_paths(fold.checkpoint.config.get(name)) != _without_paths(own[name])
    )
    if differing:
        found.append(
            red("state", f"{fold.name}: trained with other settings: config.{', config.'.join(differing)}")
        )
    return found


def _without_paths(settings):
    if not isinstance(settings, dict):
        return settings
    return {k: v for k, v in settings.items() if k not in ("path", "cache", "checkpoint_every")}


def _steps(evidence: Evidence, fold: FoldEvidence, steps: int) -> list[Finding]:
    """An epoch has as many batches as the longest training part of the protocol, at most all rows, needs."""
    size, kept = evidence.config.train.batch_size, fold.checkpoint
    fewest, most = -(-len(fold.train) // size), -(-len(evidence.ids) // size)
    if kept.step != kept.epoch * steps or not fewest <= steps <= most:
        says = f"{fold.name}: {kept.step} steps in {kept.epoch} epochs of {min(steps, most)}: more than its training"
        return [red("state", says)]
    epochs = [line.get("epoch") for line in fold.log]
    if epochs and epochs != list(range(1, kept.epoch + 1)):
        return [red("state", f"{fold.name}: its log does not run from epoch 1 to epoch {kept.epoch}")]
    return []


def _memory(evidence: Evidence, folds: list[FoldEvidence], steps: int) -> list[Finding]:
    """A memory holds at most the evidence of the training rows, once an epoch; an unreported emotion has none."""
    found, settings = [], evidence.config.model.memory
    for fold in folds:
        kept = fold.checkpoint
        if kept.mass is None:
            continue
        labels = evidence.recordings.labels[fold.train].astype(np.float64)
        clear = (labels if settings.evidence == "raw" else evidence_of(labels)) ** settings.evidence_power
        epochs = kept.best[0] if kept.best else kept.epoch
        drawn = steps * evidence.config.train.batch_size
        whole, rest = divmod(drawn, max(len(labels), 1))
        # Batches wrap around: some rows are drawn once more, at worst those that say most. A re-seeded slot
        # holds the evidence of one sample, which may be more than it had.
        most = epochs * (whole * clear.sum(0) + np.sort(clear, axis=0)[len(clear) - rest :].sum(0))
        spare = settings.slots if settings.reseed_below > 0 else 0
        here = kept.mass.sum(-1)  # [G, C]
        too_much = (here > 1.001 * most + spare).any(0)
        total = epochs * (whole * clear.sum() + np.sort(clear.sum(1))[len(clear) - rest :].sum())
        if too_much.any() or here.sum(1).max() > 1.001 * total + spare * len(most):
            says = (
                f"{fold.name}: its memory did not start empty: it holds evidence of {here.sum(1).max():.0f}"
            )
            found.append(red("state", f"{says} samples, its training rows gave {total:.0f} at most"))
        elif (unseen := (clear.sum(0) == 0) & (here > 0).any(0)).any():
            names = [evidence.recordings.emotions[c] for c in np.flatnonzero(unseen)]
            found.append(
                red("state", f"{fold.name}: it remembers emotions that no training row reports", names)
            )
    return found


def _same_memory(folds: list[FoldEvidence]) -> list[Finding]:
    banks = {fold.name: fold.checkpoint.bank for fold in folds if fold.checkpoint.bank is not None}
    names = list(banks)
    return [
        red("state", f"{b} has the memory of {a}")
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if np.array_equal(banks[a], banks[b])
    ]


def _first_losses(evidence: Evidence) -> list[Finding]:
    first = {
        f.name: f.log[0]["distribution"] for f in evidence.folds if f.log and f.log[0].get("distribution")
    }
    reference = next(iter(first.values()), 0.0)
    return [
        red(
            "state",
            f"{name}: its first epoch begins at a loss of {loss:.4f}, that of the first fold at {reference:.4f}",
        )
        for name, loss in first.items()
        if loss < FRESH * reference
    ]
