"""The smallest model with every part: three modalities, four emotions, width 8. Filled by NumPy, not by `init`.

Compiling the random initialisation of a hundred arrays takes longer than most tests, so parameters are drawn
here from shapes alone; they are also less special than fresh ones (no zero biases, no unit scales).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from mpcl_jax.config.model import FusionConfig, LossConfig, MemoryConfig, ModelConfig
from mpcl_jax.config.schema import Config, TrainConfig
from mpcl_jax.model import mpcl
from mpcl_jax.model.initialisation import draw_all
from mpcl_jax.model.outputs import Prototypes
from mpcl_jax.train.state import TrainState, initial_variables, make_optimizer
from mpcl_jax.types import Batch, DataSpec

SPEC = DataSpec(
    emotions=("joy", "calm", "fear", "anger"),
    valence=("positive", "positive", "negative", "negative"),
    groups={"eda": "physiological", "bvp": "physiological", "face": "behavioural"},
    shapes={"eda": (1, 3), "bvp": (2, 2), "face": (2, 3)},
)
ONE_SIDED = SPEC._replace(
    groups={"eda": "physiological", "bvp": "physiological"}, shapes={"eda": (1, 3), "bvp": (2, 2)}
)
# With the two parts that are off by default.
MODEL = ModelConfig(
    width=8, tokens=2, fusion=FusionConfig(heads=2), memory=MemoryConfig(slots=2, recall=True)
)
# Tests take a few steps: weights that rise over two hundred would hide what the losses do.
CONFIG = Config(
    model=MODEL, loss=LossConfig(relation_distillation=0.1, aux_warmup_steps=0), train=TrainConfig(warmup=0.0)
)


def changed(settings, **parts):
    """`settings` with other values; a dict changes fields of a nested group: `changed(MODEL, head={...})`."""
    nested = {
        name: changed(getattr(settings, name), **value) if isinstance(value, dict) else value
        for name, value in parts.items()
    }
    return dataclasses.replace(settings, **nested)


@functools.cache
def quick_options() -> dict:
    """Options with which XLA compiles three times faster; newer versions lack the second."""
    options = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda x: x + 1, compiler_options=options)(1.0)
    except jax.errors.JaxRuntimeError:
        return {"xla_backend_optimization_level": 0}
    return options


def quick_jit(function):
    """`jax.jit` for code that runs a few times: little optimisation, so little time to compile."""

    @functools.cache
    def compiled():  # at the first call: importing a test file must not start JAX
        return jax.jit(function, compiler_options=quick_options())

    return lambda *inputs: compiled()(*inputs)


def filled(shapes, seed=0):
    """A tree of random numbers of about ±0.3 with the shapes and types of `shapes`."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: np.asarray(0.3 * rng.normal(size=s.shape), s.dtype), shapes)


def parameters_of(module, *inputs, seed=0, **options):
    """Random parameters of a Flax module called with `inputs`."""
    shapes = jax.eval_shape(lambda: draw_all(module.init(jax.random.key(0), *inputs, **options)))
    return {} if "params" not in shapes else filled(shapes["params"], seed)


def unit_rows(x):
    """Rows of a NumPy array scaled to length 1."""
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def memory(emotions=4, slots=2, width=8, seed=1, groups=2):
    """A memory that has seen something: unit rows, counts above 0, a co-occurrence that is not uniform."""
    rng = np.random.default_rng(seed)
    pairs = rng.random((emotions, emotions))
    pairs = pairs + pairs.T
    parts = Prototypes(
        bank=unit_rows(rng.normal(size=(groups, emotions, slots, width))),
        mass=1.0 + rng.random((groups, emotions, slots)),
        usage=rng.random((emotions, slots)) / (emotions * slots),
        cooccurrence=pairs / pairs.sum(),
    )
    return jax.tree.map(np.float32, parts)


def tiny(settings=MODEL, spec=SPEC, precision="float32"):
    """A model and its variables."""
    model = mpcl.build(settings, spec, precision)
    shapes = jax.eval_shape(lambda: initial_variables(jax.random.key(0), model=model, spec=spec))
    values = {"params": filled(shapes["params"])}
    if settings.memory.enabled:
        sizes = (len(spec.emotions), settings.memory.slots, settings.width)
        values["prototypes"] = {"memory": memory(*sizes, groups=len(model.modality_groups))}
    return model, values


def tiny_batch(size=4, spec=SPEC, seed=0):
    """Random signals, everything present, labels whose rows sum to 1."""
    rng = np.random.default_rng(seed)
    labels = 0.05 + rng.random((size, len(spec.emotions)))
    signals = {m: rng.normal(size=(size, *shape)) for m, shape in spec.shapes.items()}
    return Batch(
        signals={m: jnp.asarray(x, jnp.float32) for m, x in signals.items()},
        present={m: jnp.ones(size, bool) for m in spec.shapes},
        labels=jnp.asarray(labels / labels.sum(1, keepdims=True), jnp.float32),
        weight=jnp.ones(size),
    )


def tiny_state(config, values):
    """A fresh train state around `values`, and its optimiser."""
    optimizer = make_optimizer(config.train, 10)
    shapes = jax.eval_shape(optimizer.init, values["params"])
    opt_state = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    prototypes = values["prototypes"]["memory"] if "prototypes" in values else None
    if config.model.memory.update == "gradient":
        prototypes = prototypes._replace(bank=jnp.asarray(unit_rows(np.asarray(values["params"]["bank"]))))
    return TrainState(jnp.int32(0), values["params"], opt_state, prototypes), optimizer


def same_bits(one, other):
    """Whether two trees hold the same bits (−0 and 0 differ, NaN equals itself)."""
    leaves, others = jax.tree.leaves(one), jax.tree.leaves(other)
    return jax.tree.structure(one) == jax.tree.structure(other) and all(
        np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(leaves, others, strict=True)
    )


def all_finite(tree):
    """Whether every number of a tree is finite."""
    return all(bool(np.isfinite(np.asarray(x)).all()) for x in jax.tree.leaves(tree))
