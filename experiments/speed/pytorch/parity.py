"""Whether the model and its PyTorch twin compute the same: loss, gradient, training steps and memory."""

import dataclasses
import re
from collections.abc import Iterator
from typing import NamedTuple

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import torch

from experiments.speed.pytorch.model import MPCL, Prototypes
from experiments.speed.pytorch.training import Rows, Trainer
from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.config.schema import Config
from mpcl_jax.model.losses import active_weights, loss_terms, total_loss
from mpcl_jax.model.mpcl import build
from mpcl_jax.model.outputs import variables
from mpcl_jax.train import epoch
from mpcl_jax.train.devices import compiled
from mpcl_jax.train.state import TrainState, make_optimizer
from mpcl_jax.train.step import make_train_step
from mpcl_jax.types import DataSpec

TOTAL = 100  # steps of the schedule of the learning rate
# What the twin has no other form of.
FIXED = {
    "model.memory": {"enabled": True, "update": "momentum", "evidence": "above_floor", "paired": True}
    | {"start": "evidence", "mixture_weights": True},
    "model.fusion": {"within_group": True, "across_groups": True},
    "model.cooccurrence": {"enabled": True, "prior": True},
    "model.head": {"hierarchy": "valence", "direct": True},
    "train": {"precision": "float32", "stream_rows": 0, "folds_at_once": 1, "stimulus_averaging": 0.0},
}


class Parity(NamedTuple):
    """Largest differences between the two; those of gradients as shares of the length of the whole gradient."""

    loss: float  # of the first batch
    gradient: float  # of the first batch
    losses: float  # of training steps without dropout and augmentation
    memory: float  # the banks after these steps
    last_gradient: float  # with parameters and memory of the model after these steps


def require_same_form(config: Config, spec: DataSpec) -> None:
    """Raises ConfigError for a setting that the twin does not have."""
    if len(set(spec.groups.values())) != 2:
        raise ConfigError("the PyTorch model needs modalities of two groups; choose other data")
    for place, settings in FIXED.items():
        part = config
        for name in place.split("."):
            part = getattr(part, name)
        for name, value in settings.items():
            if getattr(part, name) != value:
                raise ConfigError(f"config.{place}.{name}: the PyTorch model has {value!r} alone")


def without_chance(config: Config) -> Config:
    """`config` without dropout and augmentation, and without the warm-ups, which keep the first steps small."""
    none = {"mixup": 0.0, "modality_dropout": 0.0, "group_dropout": 0.0, "warmup": 0.0}
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, dropout=0.0, input_dropout=0.0),
        loss=dataclasses.replace(config.loss, aux_warmup_steps=0),
        train=dataclasses.replace(config.train, **none),
    )


def torch_rows(rows: epoch.Rows, fold: epoch.FoldArrays, device: str) -> Rows:
    """The same windows and statistics as tensors."""
    return jax.tree.map(
        lambda x: torch.tensor(np.asarray(x), device=device),
        Rows(*rows[:3], fold.mean, fold.std, fold.median),
    )


def twin_of(params: dict, prototypes, config: Config, spec: DataSpec, device: str) -> tuple[MPCL, Prototypes]:
    """The PyTorch model with a copy of `params` and `prototypes`."""
    model = MPCL(config.model, spec)
    own = dict(model.named_parameters())
    for name, value in named(params):
        with torch.no_grad():
            own.pop(name).copy_(torch.tensor(value))
    assert not own, f"not in the model: {sorted(own)}"
    memory = Prototypes(*(torch.tensor(np.asarray(x), device=device) for x in prototypes))
    return model.to(device), memory


def named(params: dict) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a Flax tree with their names and shapes in PyTorch."""
    for (*place, name), x in flax.traverse_util.flatten_dict(params).items():
        value = np.asarray(x)
        if name in ("kernel", "scale"):
            name, value = "weight", value.T
        # One module for each modality or group: encode_eeg -> encode.eeg, wide_behavioural -> wide.behavioural
        place = re.sub(r"^encode_", "encode.", ".".join(place))
        place = re.sub(r"_(physiological|behavioural)$", r".\1", place)
        yield f"{place}.{name}", value


def compare(
    config: Config,
    spec: DataSpec,
    state: TrainState,
    rows: epoch.Rows,
    fold: epoch.FoldArrays,
    batches,
    device: str,
) -> Parity:
    """Trains both from `state` on the windows of `batches` [steps, B] without dropout and augmentation."""
    config = without_chance(config)
    model, optimizer = build(config.model, spec), make_optimizer(config.train, TOTAL)
    state = state._replace(opt_state=optimizer.init(state.params))
    train_step = compiled(make_train_step(model, optimizer, config))
    weights = active_weights(config.loss, config.model, 2)

    @compiled
    @jax.value_and_grad
    def differentiate(params, prototypes, batch):
        output = model.apply(variables(params, prototypes), batch, train=False)
        return total_loss(loss_terms(output, batch, weights, config.model.memory.evidence), weights)

    def batch_of(chosen):
        return epoch.gather(rows, fold, chosen, jnp.ones(len(chosen)))

    of_torch = torch_rows(rows, fold, device)

    def trainer_of(state):
        twin, memory = twin_of(state.params, state.prototypes, config, spec, device)
        return Trainer(twin, memory, config, TOTAL)

    def gradients(state):
        """Loss and gradient of the first batch by both; their differences."""
        value, gradient = differentiate(state.params, state.prototypes, batch_of(batches[0]))
        trainer = trainer_of(state)
        chosen = torch.tensor(batches[0], device=device)
        loss, *_ = trainer.forward(of_torch, chosen, trainer.memory, 1.0)
        loss.backward()
        own = {name: x.grad.cpu().numpy() for name, x in trainer.model.named_parameters()}
        wanted = dict(named(gradient))
        length = np.sqrt(sum(np.sum(x**2) for x in wanted.values()))
        return abs(float(value) - loss.item()), max(
            np.abs(own[n] - x).max() for n, x in wanted.items()
        ) / length

    first, trainer, losses = gradients(state), trainer_of(state), []
    for chosen in batches:
        loss = trainer.train_step(of_torch, torch.tensor(chosen, device=device)).item()
        state, report = train_step(state, batch_of(chosen), jax.random.key(0))
        losses.append(abs(float(report["loss"]) - loss))
    bank = np.abs(np.asarray(state.prototypes.bank) - trainer.memory.bank.cpu().numpy()).max()
    return Parity(*map(float, (*first, max(losses), bank, gradients(state)[1])))
