"""A fitted model with a personal memory whose kernel is known, for tests that need no learned one."""

import copy

from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS, QUERY, TIME, RecallKernel
from mpcl_jax.train.memory_fit import Learned

KERNEL = RecallKernel(
    0.5,
    {FEATURES: 1.0, LOG_PROBS: 0.5, QUERY: 0.5, TIME: 0.2},
    dict.fromkeys((FEATURES, LOG_PROBS, QUERY, TIME), 1.0),
    0.1,
)


def with_memory(fitted, kernel=KERNEL):
    """A copy of the `fitted` model whose memory is on."""
    copied = copy.copy(fitted)
    copied.memory_ = Learned(kernel, "on: for a test", 0.5, 0.4, 4)
    return copied
