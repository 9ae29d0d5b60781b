"""The training of `mpcl_jax/train` in plain PyTorch: batches, augmentation, losses, memory, optimiser, one epoch.

The guard of `mpcl_jax/train/step.py` (it skips a step that is not finite) is left out, so PyTorch does less work.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import betaincinv
from torch import Tensor, nn

from experiments.speed.pytorch.model import MPCL, Output, Prototypes, similarities, unit
from mpcl_jax.config.model import LossConfig, MemoryConfig
from mpcl_jax.config.schema import Config, TrainConfig
from mpcl_jax.types import GROUPS


class Rows(NamedTuple):
    """All windows on the device, and the statistics of the training part."""

    signals: dict[str, Tensor]  # m -> [N, T_m, F_m], NaN where a feature is missing
    present: dict[str, Tensor]  # m -> [N] bool
    labels: Tensor  # [N, C]
    mean: dict[str, Tensor]  # m -> [T_m, F_m]
    std: dict[str, Tensor]
    median: dict[str, Tensor]


class Batch(NamedTuple):
    """B windows, normalised."""

    signals: dict[str, Tensor]
    present: dict[str, Tensor]
    labels: Tensor


def gather(rows: Rows, chosen: Tensor) -> Batch:
    """The windows `chosen` [B]; NaN becomes the median."""
    signals = {}
    for m, x in rows.signals.items():
        known = torch.where(x[chosen].isnan(), rows.median[m], x[chosen])
        signals[m] = (known - rows.mean[m]) / rows.std[m]
    return Batch(signals, {m: x[chosen] for m, x in rows.present.items()}, rows.labels[chosen])


def augment(batch: Batch, shares: Tensor, groups: dict[str, str], settings: TrainConfig) -> Batch:
    """Mixup with `shares` [1024] (`mixing_shares`), then modality dropout; as `mpcl_jax/train/augment.py`."""
    if settings.mixup:
        batch = mix_samples(batch, shares)
    if settings.modality_dropout or settings.group_dropout:
        batch = batch._replace(present=drop_modalities(batch.present, groups, settings))
    return batch


def mixing_shares(alpha: float) -> Tensor:
    """The middle quantiles of `max(λ, 1 − λ)` with λ ~ Beta(alpha, alpha), [1024]."""
    middles = (np.arange(1024) + 0.5) / 1024
    return torch.tensor(
        betaincinv(alpha, alpha, 0.5 + middles / 2) if alpha else middles, dtype=torch.float32
    )


def mix_samples(batch: Batch, shares: Tensor) -> Batch:
    """Each sample becomes a mixture with another one that has the same modalities."""
    size, device = len(batch.labels), batch.labels.device
    partner = torch.randperm(size, device=device)
    share = shares[torch.randint(len(shares), (size,), device=device)]
    alike = torch.stack([x == x[partner] for x in batch.present.values()]).all(0)
    share = torch.where(alike, share, 1.0)

    def mixed(x):
        own = share.view(-1, *[1] * (x.ndim - 1))
        return own * x + (1.0 - own) * x[partner]

    return batch._replace(signals={m: mixed(x) for m, x in batch.signals.items()}, labels=mixed(batch.labels))


def drop_modalities(present: dict[str, Tensor], groups: dict[str, str], settings: TrainConfig):
    """Removes single modalities and whole groups; a sample that would lose everything keeps all."""
    some = next(iter(present.values()))
    drop_group = torch.rand(len(some), device=some.device) < settings.group_dropout
    which = torch.randint(len(GROUPS), (len(some),), device=some.device)
    kept = {}
    for m, there in present.items():
        stays = torch.rand(len(some), device=some.device) >= settings.modality_dropout
        kept[m] = there & stays & ~(drop_group & (which == GROUPS.index(groups[m])))
    something = torch.stack(list(kept.values())).any(0)
    return {m: torch.where(something, x, present[m]) for m, x in kept.items()}


def evidence_of(labels: Tensor) -> Tensor:
    """`e_c = (y_c − min y) / Σ`; zeros for a flat label."""
    above = labels - labels.min(-1, keepdim=True).values
    total = above.sum(-1, keepdim=True)
    return torch.where(total > 1e-6, above / torch.where(total > 1e-6, total, 1.0), 0.0)


def kl_divergence(labels: Tensor, log_probs: Tensor) -> Tensor:
    """`Σ_c y_c (log y_c − log p_c)`."""
    return (torch.xlogy(labels, labels) - labels * log_probs).sum(-1)


def relation_distillation(logits: Tensor, present: Tensor) -> Tensor:
    """`½ [KL(sg r_p ‖ r_b) + KL(sg r_b ‖ r_p)]`, the mean over samples; 0 for those without a group."""
    log_r = logits.flatten(2).log_softmax(-1)
    teacher = log_r.detach()
    divergence = (teacher.exp() * (teacher - log_r.flip(1))).sum(-1)
    return torch.where(present.all(1), 0.5 * divergence.sum(1), 0.0).mean()


def loss_of(output: Output, labels: Tensor, weights: LossConfig, share: float | Tensor) -> Tensor:
    """`KL(y ‖ p) + ρ (λ_prd L_prd + λ_proto L_proto + λ_co L_co)`; `share` is ρ. As `mpcl_jax/model/losses.py`."""
    evidence, present = evidence_of(labels), output.present
    log_near = output.logits.logsumexp(-1).log_softmax(-1)
    of_group = -torch.einsum("bc,bgc->bg", evidence, log_near)
    prototype = of_group.masked_fill(~present, 0.0).sum(1).mean()

    log_map = output.cooccurrence_map.clamp(min=1e-12).log()
    cooccurrence = (evidence * kl_divergence(evidence[:, None], log_map)).sum(-1).mean()

    auxiliary = weights.prototype * prototype + weights.cooccurrence * cooccurrence
    if weights.relation_distillation:
        auxiliary = auxiliary + weights.relation_distillation * relation_distillation(output.logits, present)
    return kl_divergence(labels, output.log_probs).mean() + share * auxiliary


@torch.no_grad()
def update_prototypes(memory: Prototypes, query, labels, present, settings: MemoryConfig) -> Prototypes:
    """Moves each prototype towards the queries it explains; as `mpcl_jax/model/prototypes.py`."""
    evidence = evidence_of(labels)
    similarity = similarities(query, memory.bank, settings.temperature)
    there = present[:, :, None, None].float()
    common = (similarity * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp(min=1.0)
    sharper = common * (settings.temperature / settings.assign_temperature)
    assigned = sharper.softmax(-1) * (evidence**settings.evidence_power)[:, None, :, None]  # [B, 1, C, K]
    seen = assigned * there
    mass = seen.sum(0)
    keep = settings.momentum ** mass.clamp(max=1.0)
    keep = torch.minimum(keep, memory.mass / (memory.mass + mass).clamp(min=1e-12))[..., None]
    mean = torch.einsum("bgck,bgd->gckd", seen, query) / mass.clamp(min=1e-12)[..., None]
    moved = unit(keep * memory.bank + (1.0 - keep) * mean)
    moves = (mass > 0)[..., None] & (moved != 0).any(-1, keepdim=True)
    bank = torch.where(moves, moved, memory.bank)

    first = memory.mass.sum() == 0
    keep_usage, keep = (torch.where(first, 0.0, x) for x in (settings.usage_momentum, settings.momentum))
    usage = keep_usage * memory.usage + (1.0 - keep_usage) * assigned[:, 0].mean(0)
    pairs = evidence.T @ evidence
    keep = torch.where(pairs.sum() > 0, keep, 1.0)
    cooccurrence = keep * memory.cooccurrence + (1.0 - keep) * pairs / pairs.sum().clamp(min=1e-12)
    updated = Prototypes(bank, memory.mass + mass, usage, cooccurrence)
    return _reseed(updated, query, evidence, similarity * settings.temperature, present, settings)


def _reseed(memory: Prototypes, query, evidence, cosine, present, settings: MemoryConfig) -> Prototypes:
    """Gives the least used slot of an emotion, if it is dead, the sample that the emotion explains worst."""
    average = memory.usage.mean(1)
    dead = memory.usage.min(1).values < settings.reseed_below * average
    best = cosine.mean(1).amax(-1)  # [B, C]
    badly = (evidence * (1.0 - best)).masked_fill(~present.all(1)[:, None], 0.0)
    worst, sample = badly.max(0)  # [C]
    slots = torch.arange(settings.slots, device=query.device)
    here = (dead & (worst > 0))[:, None] & (slots == memory.usage.argmin(1)[:, None])  # [C, K]
    seeds = query[sample].transpose(0, 1)[:, :, None]  # [G, C, 1, D]
    worth = evidence.gather(0, sample[None])[0][:, None]  # [C, 1]
    return memory._replace(
        bank=torch.where(here[..., None], seeds, memory.bank),
        mass=torch.where(here, worth, memory.mass),
        usage=torch.where(here, average[:, None], memory.usage),
    )


def make_optimizer(model: nn.Module, settings: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, whose decay acts on parameters with two axes."""
    matrices = [x for x in model.parameters() if x.ndim >= 2]
    others = [x for x in model.parameters() if x.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}]
    groups.append({"params": others, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.999), eps=1e-8, fused=True)


def learning_rate(settings: TrainConfig, step: int, steps: int) -> float:
    """The rate rises linearly, then falls along a cosine to 0 at `steps`."""
    warmup = int(settings.warmup * steps)
    if step < warmup:
        return settings.learning_rate * step / warmup
    done = (step - warmup) / (max(steps, warmup + 1) - warmup)
    return settings.learning_rate * 0.5 * (1.0 + np.cos(np.pi * min(done, 1.0)))


class Trainer:
    """Model, memory and optimiser, and the training steps that change them."""

    def __init__(self, model: MPCL, memory: Prototypes, config: Config, steps: int, compiled: bool = False):
        """`steps` of the whole training · `compiled`: by `torch.compile`."""
        self.model, self.memory, self.config, self.steps, self.step = model, memory, config, steps, 0
        self.optimizer = make_optimizer(model, config.train)
        self.shares = mixing_shares(config.train.mixup).to(memory.bank.device)
        # The pattern matcher of PyTorch 2.13 fails on this model ("Not all inputs to pattern found").
        compiler = functools.partial(torch.compile, options={"pattern_matcher": False})
        compile_or_not = compiler if compiled else lambda function: function
        self.forward = compile_or_not(self._forward)
        self.update = compile_or_not(update_prototypes)

    def _forward(self, rows: Rows, chosen: Tensor, memory: Prototypes, share):
        """Loss of the windows `chosen` [B], their own labels and the output."""
        batch = gather(rows, chosen)
        reported = batch.labels
        batch = augment(batch, self.shares, self.model.groups, self.config.train)
        output = self.model(batch.signals, batch.present, memory)
        return loss_of(output, batch.labels, self.config.loss, share), reported, output

    def train_step(self, rows: Rows, chosen: Tensor) -> Tensor:
        """One step of `mpcl_jax/train/step.py` on the windows `chosen` [B]. Returns the loss, with share 1 of ρ."""
        warmup = self.config.loss.aux_warmup_steps
        share = torch.tensor(min(1.0, (self.step + 1) / warmup) if warmup else 1.0, device=chosen.device)
        loss, reported, output = self.forward(rows, chosen, self.memory, share)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.config.train.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.train, self.step, self.steps)
        self.optimizer.step()
        of_batch = output.query.detach(), reported, output.present
        self.memory = self.update(self.memory, *of_batch, self.config.model.memory)
        self.step += 1
        return loss.detach()

    def epoch(self, rows: Rows, train: Tensor) -> Tensor:
        """Trains on the rows `train` [R] in random order, in full batches. Returns the losses [steps]."""
        size = self.config.train.batch_size
        order = train[torch.randperm(len(train), device=train.device)]
        count = -(-len(train) // size)
        order = order.repeat(-(-count * size // len(train)))[: count * size]
        return torch.stack([self.train_step(rows, chosen) for chosen in order.split(size)])
