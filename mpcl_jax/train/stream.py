"""An epoch over rows that stay on the host: a part of them lies on the device while the next one is moved there.

The same steps on the same batches with the same keys as `epoch.whole_epoch`, and the same bits.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mpcl_jax.train.devices import compiled
from mpcl_jax.train.epoch import EVALUATION_BLOCK, FoldArrays, Parts, Rows, validation_kl
from mpcl_jax.train.state import Training


def streamed(parts: Parts, rows_at_once: int, batch_size: int, sharding):
    """`epoch` and `predict` of a `Program` for one fold and `Rows` of NumPy arrays.

    Two parts of about `rows_at_once` rows lie on the device at a time, whole batches in an epoch and whole blocks
    in a prediction.
    """
    at_once = _largest_divisor(parts.steps, max(1, rows_at_once // batch_size))
    make_steps = compiled(parts.make_steps, donate_argnums=0, out_shardings=sharding)
    batches, end, mean_kl = compiled(parts.batches), compiled(parts.end), compiled(validation_kl)
    places = np.arange(at_once * batch_size, dtype=np.int32).reshape(at_once, batch_size)
    predict = _streamed_prediction(parts, max(1, rows_at_once // EVALUATION_BLOCK), sharding)

    def epoch(training: Training, rows: Rows, fold: FoldArrays, key):
        chosen = np.asarray(batches(fold, key)).reshape(-1, at_once * batch_size)
        before = jax.tree.map(jnp.copy, training.state.prototypes)  # the state is donated to the first steps
        state, reports = training.state, []
        moved = _to_device(rows, chosen[0], sharding)
        for part in range(len(chosen)):
            numbers = np.arange(part * at_once, (part + 1) * at_once, dtype=np.int32)
            state, report = make_steps(state, training.guard, moved, fold, places, numbers, key)
            if part + 1 < len(chosen):
                moved = _to_device(rows, chosen[part + 1], sharding)  # while the device works
            reports.append(jax.block_until_ready(report))  # else the host would move one part after another
        kl = None
        if len(fold.validation):
            output, _ = predict(state.params, state.prototypes, rows, fold, fold.validation)
            kl = mean_kl(rows.labels[np.asarray(fold.validation)], output.log_probs, fold.validation_count)
        of_steps = jax.tree.map(lambda *x: jnp.concatenate(x), *reports)
        return end(training._replace(state=None), before, state, of_steps, kl)

    return epoch, predict


def _streamed_prediction(parts: Parts, blocks: int, sharding):
    size = blocks * EVALUATION_BLOCK
    one_call = compiled(parts.predict, out_shardings=sharding)
    places = np.arange(size, dtype=np.int32)

    def predict(params, prototypes, rows: Rows, fold: FoldArrays, chosen):
        chosen = np.asarray(chosen)
        padded = np.zeros(-(-len(chosen) // size) * size, np.int32)
        padded[: len(chosen)] = chosen
        found = [
            jax.device_get(one_call(params, prototypes, _to_device(rows, part, sharding), fold, places))
            for part in padded.reshape(-1, size)
        ]
        return jax.tree.map(lambda *x: np.concatenate(x)[: len(chosen)], *found)

    return predict


def _to_device(rows: Rows, chosen: np.ndarray, sharding) -> Rows:
    """The rows `chosen`; a transfer that has begun when this returns."""
    return jax.device_put(jax.tree.map(lambda x: x[chosen], rows), sharding)


def _largest_divisor(number: int, limit: int) -> int:
    """Parts of one size share one program."""
    return next(k for k in range(min(number, limit), 0, -1) if number % k == 0)
