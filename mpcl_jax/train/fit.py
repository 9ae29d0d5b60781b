"""The results of a training in memory, without the training: a saved model is read into them."""

from typing import Any, NamedTuple

from mpcl_jax.config.schema import Config
from mpcl_jax.data.normalise import Normalisation
from mpcl_jax.model.recall_kernel import RecallKernel


class Fit(NamedTuple):
    """A trained model with NumPy arrays, ready to be saved."""

    config: Config  # without "auto"
    norm: Normalisation
    params: Any
    prototypes: Any  # `Prototypes`, or None without a memory
    epoch: int  # whose parameters these are
    choice: str  # how the epoch was chosen, with its KL
    history: tuple[dict[str, float], ...]  # of each epoch: the mean of every loss term, and `validation_kl`
    held_out: Any = None  # `HeldOut`: predictions of the inner folds for the subjects that each held out


class Learned(NamedTuple):
    """The kernel and what it is worth on training subjects."""

    kernel: RecallKernel | None  # None: the memory is off
    reason: str  # one sentence
    zero_shot_kl: float | None = None
    kl: float | None = None  # of subjects that the numbers of the kernel were not chosen on
    subjects: int = 0
