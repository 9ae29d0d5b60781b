"""For test_resume_exactly.py, in a process of its own: `python tests/resume_child.py FOLDER train|compare|move`.

Prints one line of JSON: `train DEVICES` the digest of a training of 200 steps; `compare TEMPERATURE` how far such
trainings on one and on eight virtual devices lie apart; `move` whether a checkpoint of one number of devices is,
bit by bit, what another number restores.
"""

import dataclasses
import hashlib
import json
import pathlib
import sys

import jax

jax.config.update("jax_num_cpu_devices", 8)  # before any computation

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax.flatten_util import ravel_pytree  # noqa: E402
from jax.sharding import AxisType, NamedSharding, PartitionSpec  # noqa: E402
from run_fixture import bits, forty_epochs, quickly_prepared, sharding_config  # noqa: E402

from mpcl_jax.data.normalise import Normalisation  # noqa: E402
from mpcl_jax.train import checkpoint, loop  # noqa: E402
from mpcl_jax.train import run as runs  # noqa: E402
from mpcl_jax.train.devices import make_mesh  # noqa: E402


def mesh_of(devices: int):
    """The mesh of a run on the first few devices."""
    axes = make_mesh(sharding_config()).axis_names
    shape = [devices if name == "data" else 1 for name in axes]
    chosen = np.array(jax.devices()[:devices]).reshape(shape)
    return jax.sharding.Mesh(chosen, axes, axis_types=(AxisType.Auto,) * len(axes))


def trained(folder: pathlib.Path, devices: int, nudge: bool = False, **changes):
    """Run, training and predictions after 40 epochs of five steps; dropout of every kind is on.

    `nudge`: every number of the first state is one rounding larger.
    """
    runs.make_mesh = lambda _: mesh_of(devices)
    config = forty_epochs(**changes)
    once = dataclasses.replace(config.train, checkpoint_every=config.train.epochs)
    run = quickly_prepared(dataclasses.replace(config, train=once), folder)
    assert len(run.program.replicated.device_set) == devices
    if nudge:
        run = run._replace(program=run.program._replace(epoch=nudged(run.program.epoch)))
    seen, save = [], checkpoint.save

    def keep(saved, epoch, training, *rest):
        seen.append(jax.device_get(training))
        save(saved, epoch, training, *rest)

    checkpoint.save = keep
    predictions = loop.train_folds(run)[0]
    checkpoint.save = save
    return run, seen[-1], predictions


def nudged(epoch):
    """The epoch, whose first call begins with numbers that are one rounding larger; what is 0 stays 0."""
    calls = []
    scale = jax.jit(
        lambda tree: jax.tree.map(
            lambda x: x * (1 + jnp.finfo(x.dtype).eps) if x.dtype == jnp.float32 else x, tree
        )
    )

    def begins_larger(training, *rest):
        calls.append(None)
        return epoch(scale(training) if len(calls) == 1 else training, *rest)

    begins_larger.lower = epoch.lower  # the start compiles it ahead
    return begins_larger


def digest(tree) -> str:
    return hashlib.sha256(repr(bits(tree)).encode()).hexdigest()


def train(folder: pathlib.Path, devices: str) -> dict:
    _, training, predictions = trained(folder, int(devices))
    return {"steps": int(training.state.step), "digest": digest((training, predictions))}


def apart(one, other) -> float:
    """The largest difference of two arrays, relative to the largest entry."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(np.abs(one - other).max() / np.abs(one).max())


def compare(folder: pathlib.Path, temperature: str) -> dict:
    """How far a training on eight devices, and one that begins one rounding apart, end from one on one device."""
    sharpness = {"model__memory__assign_temperature": float(temperature)}
    one = trained(folder / "one", 1, **sharpness)[1:]
    return {
        "steps": int(one[0].state.step),
        "on eight devices": differences(one, trained(folder / "eight", 8, **sharpness)[1:]),
        "one rounding": differences(one, trained(folder / "nudged", 1, nudge=True, **sharpness)[1:]),
    }


def differences(one, other) -> dict:
    """Of two pairs (training, predictions), the largest difference of each part."""
    states, predictions = [x.state for x, _ in (one, other)], [x.predicted for _, x in (one, other)]
    # Adam divides a gradient by its own size: where it is 0 in theory, rounding alone decides the step.
    moment = np.asarray(states[0].opt_state[0][1].nu)
    real = np.sqrt(moment / (1 - 0.999 ** int(states[0].step))) > 1e-6
    params = [ravel_pytree(x.params)[0][real] for x in states]
    memories = [x.prototypes._asdict() for x in states]
    return {
        "parameters": apart(*params),
        **{name: apart(*(x[name] for x in memories)) for name in memories[0]},
        "predictions": apart(*predictions),
        "parameters without gradient": int((~real).sum()),
    }


def move(folder: pathlib.Path) -> dict:
    run, _, _ = trained(folder / "eight", 8)
    key, mean = jax.random.key(0, impl="rbg"), run.recordings.labels[0]
    like, same = jax.eval_shape(run.program.create, key, mean), {}
    norm = Normalisation({"a": np.zeros(1)}, {"a": np.ones(1)}, {"a": np.zeros(1)})

    def moved(source: pathlib.Path, target: pathlib.Path, devices: int):
        """Restores on `devices`, saves again from there; what was restored."""
        sharding = NamedSharding(mesh_of(devices), PartitionSpec())
        origin = json.loads(next(source.glob("*/origin/metadata")).read_text())
        with checkpoint.open_checkpoints(source, origin) as saved:
            epoch, training = checkpoint.restore(saved, like, sharding)
        assert all(len(x.sharding.device_set) == devices for x in jax.tree.leaves(training))
        with checkpoint.open_checkpoints(target, origin) as saved:
            checkpoint.save(saved, epoch, training, norm, {})
        return bits(jax.device_get(training))

    first = run.workdir / "folds" / "00" / "checkpoints"
    by_eight = moved(first, folder / "again", 8)
    for devices in (1, 2, 4):
        same[f"8 -> {devices}"] = moved(first, folder / str(devices), devices) == by_eight
    for devices in (1, 2, 4):
        same[f"{devices} -> 8"] = moved(folder / str(devices), folder / f"back{devices}", 8) == by_eight
    return same


if __name__ == "__main__":
    answer = {"train": train, "compare": compare, "move": move}[sys.argv[2]]
    print(json.dumps(answer(pathlib.Path(sys.argv[1]), *sys.argv[3:])))
