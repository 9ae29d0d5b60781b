"""The whole prediction as one function of JAX: features as they were measured in, distribution out.

Normalisation and personal memory are computed in float64 and the model in float32, as `predict` does it. The function
has to be traced with `jax.enable_x64(True)`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import CONSTANT, SMALLEST_SPREAD, Normalisation
from mpcl_jax.estimator.adaptation import Memories
from mpcl_jax.metrics import SMALLEST_SHARE, SUM_TOLERANCE
from mpcl_jax.model.mpcl import build
from mpcl_jax.model.other_subjects import shared_with_others, without_shared
from mpcl_jax.model.personal_memory import PersonalMemory
from mpcl_jax.model.recall_kernel import (
    FARTHEST_FEATURE,
    FEATURES,
    LOG_PROBS,
    MOST_RECALLED,
    QUERY,
    TIME,
    RecallKernel,
    covariance,
    distances,
)
from mpcl_jax.runs.predict import LEAST_WINDOWS, FinishedModel
from mpcl_jax.types import FARTHEST, LARGEST_VALUE, Batch, DataError, DataSpec


class Exportable(NamedTuple):
    """What a file is made of."""

    models: Sequence[FinishedModel]  # their predictions are averaged
    configs: Sequence[Config]  # one of each model
    empty: np.ndarray  # [C] the prediction of a window without any value; NaN where `predict` refuses it
    memories: Memories | None  # of an adapted model
    predict: Callable[[dict, dict], np.ndarray]  # (signals, present) -> [N, C], the model's own `predict`
    about: dict[str, Any]  # what else is known, for the header of the file

    @property
    def spec(self) -> DataSpec:
        """Emotions, modalities and their shapes."""
        return self.models[0].spec


def inputs_of(spec: DataSpec) -> dict[str, tuple[int, ...]]:
    """The shape of one window of each modality: (F_m,), or (T_m, F_m) where there are several tokens."""
    return {m: shape[1:] if shape[0] == 1 else shape for m, shape in spec.shapes.items()}


def program_of(source: Exportable) -> Callable[[dict], jax.Array]:
    """A function of m -> [B, *shape] float32, NaN where missing, that returns the distributions [B, C] float32.

    `shape` is that of `inputs_of`. A modality of which a window has only NaN is absent. Rows that `predict` refuses
    are NaN.
    """
    spec, standardise = source.spec, source.models[0].per_subject
    memories = source.memories.of_models if source.memories else [None] * len(source.models)
    parts = [
        (
            build(config.model, spec, config.train.precision),
            jax.device_get(model.variables),
            model.normalisation,
            memory,
        )
        for model, config, memory in zip(source.models, source.configs, memories, strict=True)
    ]

    def program(signals):
        signals = {m: signals[m].reshape(-1, *shape) for m, shape in spec.shapes.items()}
        present = {m: ~jnp.isnan(x).all((1, 2)) for m, x in signals.items()}
        refused = [(jnp.abs(x) > LARGEST_VALUE).any((1, 2)) for x in signals.values()]
        if standardise:
            refused += [here & (here.sum() < LEAST_WINDOWS) for here in present.values()]
            signals = {m: _standardised(x, present[m]) for m, x in signals.items()}
        each = []
        for model, variables, norm, memory in parts:
            z = {m: _normalised(x, present[m], norm, m) for m, x in signals.items()}
            refused += [(jnp.abs(x) > FARTHEST).any((1, 2)) for x in z.values()]
            output = model.apply(variables, Batch(z, present, None, None), train=False)
            log_probs = output.log_probs
            if memory is not None:
                log_probs = _adapted(
                    source.memories.kernel, memory, z, log_probs.astype(jnp.float64), output.query
                )
            each.append(_floored(jnp.exp(log_probs).astype(jnp.float64)))
        shares = sum(each) / len(each)
        shares = _floored(shares / shares.sum(1, keepdims=True))
        shares = jnp.where(_any(present.values())[:, None], shares, source.empty)
        return jnp.where(_any(refused)[:, None], jnp.nan, shares).astype(jnp.float32)

    return program


def _any(rows) -> jax.Array:
    return jnp.stack(list(rows)).any(0)


def _standardised(x: jax.Array, here: jax.Array) -> jax.Array:
    """`x` [B, T, F] z-scored over the windows of the call: see `data.normalise.standardised`."""
    x = x.astype(jnp.float64)
    known = ~jnp.isnan(x) & here[:, None, None]
    held = jnp.where(known, x, 0.0)
    count = jnp.maximum(known.sum(0), 1)
    mean = held.sum(0) / count
    spread = jnp.sqrt((jnp.where(known, x - mean, 0.0) ** 2).sum(0) / count)
    varies = spread > jnp.maximum(CONSTANT * jnp.abs(held).max(0), SMALLEST_SPREAD)
    return jnp.where(varies, (x - mean) / jnp.where(varies, spread, 1.0), 0.0).astype(jnp.float32)


def _normalised(x: jax.Array, here: jax.Array, norm: Normalisation, m: str) -> jax.Array:
    """See `data.normalise.apply_normalisation`."""
    known = jnp.where(jnp.isnan(x), norm.median[m], x.astype(jnp.float64))
    z = (known - norm.mean[m]) / norm.std[m]
    return jnp.where(here[:, None, None], z, 0.0).astype(jnp.float32)


def _floored(shares: jax.Array) -> jax.Array:
    """See `metrics.floored`."""
    least = SMALLEST_SHARE / (1 + SUM_TOLERANCE + shares.shape[1] * SMALLEST_SHARE)
    binds = (shares < 0.999 * least).any(1, keepdims=True)
    raised = jnp.maximum(shares, SMALLEST_SHARE)
    return jnp.where(binds, raised / raised.sum(1, keepdims=True), shares)


def _adapted(
    kernel: RecallKernel, memory: PersonalMemory, z: dict, log_probs: jax.Array, query: jax.Array
) -> jax.Array:
    """See `model.personal_memory.adapt`. The weights of the written trials are solved for here, once."""
    features = [x.astype(jnp.float64).mean(axis=1) for x in z.values()]
    views = {
        FEATURES: jnp.clip(jnp.concatenate(features, axis=1), -FARTHEST_FEATURE, FARTHEST_FEATURE),
        LOG_PROBS: log_probs - log_probs.mean(axis=1, keepdims=True),
        TIME: np.full((1, 1), float(len(memory.trials))),  # the present comes after the last written trial
        QUERY: query.astype(jnp.float64).reshape(query.shape[0], -1),
    }
    trials = memory.trials
    if len(trials) > MOST_RECALLED:
        reason = f"holds {len(trials)} trials; a file holds at most {MOST_RECALLED}"
        raise DataError(
            "personal memory", f"{reason}, since `predict` chooses among more of them anew for each row"
        )
    member = memory.trial == np.array(trials)[:, None]
    member = member / member.sum(axis=1, keepdims=True)
    written = {view: member @ x for view, x in memory.views.items()}
    written[TIME] = np.arange(len(trials), dtype=np.float64)[:, None]
    among = covariance(kernel, distances(written, written))
    residual = member @ memory.residual
    correction = 0.0
    if kernel.others is not None:
        shared, _ = shared_with_others(kernel, written, residual)
        residual = without_shared(kernel, written, residual, shared)
        correction = covariance(kernel, distances(views, kernel.others.views), jnp.exp) @ shared
    solved = np.linalg.solve(among + np.eye(len(trials)), residual)  # [n, C]
    towards = covariance(kernel, distances(views, {view: written[view] for view in kernel.gain}), jnp.exp)
    correction += jnp.broadcast_to(towards, (query.shape[0], len(trials))) @ solved
    return jax.nn.log_softmax(log_probs + correction, axis=-1)
