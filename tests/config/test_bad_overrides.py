"""Three hundred slips on the command line: each is refused before JAX is imported, with the way out."""

import random

import pytest
from test_command_line import DATASET, start
from test_config import SETTINGS, bad_values, misspelt

from mpcl_jax.config.command_line import from_command_line
from mpcl_jax.config.names import NAMES
from mpcl_jax.config.resolve import ConfigError

CONTRADICTIONS = {
    "--config.model.width=30": "must be a multiple of its heads",
    "--config.train.select=best": "config.protocol.validation",
    "--config.model.memory.enabled=false": "set model.memory.enabled too",
    "--config.data.kind=wesad": "--config.data.path=",
    "--config.data.path=/mine": "--config.data.kind=",
    "--config.protocol.only=(5,)": "from 0 to 4",
}


def slips(count: int) -> list[tuple[str, str]]:
    """(argument, what a helpful answer holds): half misspelt keys, the rest values and contradictions."""
    rng = random.Random(1)
    keys = sorted(NAMES)
    found = list(CONTRADICTIONS.items())
    while len(found) < count // 2:
        key = rng.choice(keys)
        parts = key.split(".")
        i = rng.randrange(len(parts))
        parts[i] = misspelt(parts[i], rng)
        wrong = ".".join(parts)
        if parts[i] and wrong not in NAMES:
            found.append((f"--config.{wrong}=1", f"config.{key}"))
    values = [(f"--config.{key}={text}", SETTINGS[key].allowed) for key in keys for text in bad_values(key)]
    return found + rng.sample(values, count - len(found))


def answered(argument: str) -> str:
    """What is said of an argument; "" if nothing is."""
    try:
        from_command_line(DATASET, [argument])
        return ""
    except ConfigError as error:
        return str(error)


def test_three_hundred_slips_are_refused_with_the_way_out():
    tried = slips(300)
    said = [answered(argument) for argument, _ in tried]
    assert len(set(tried)) >= 290
    missed = [argument for (argument, _), text in zip(tried, said, strict=True) if not text]
    assert not missed
    right = sum(words in text for (_, words), text in zip(tried, said, strict=True))
    assert right >= 0.95 * len(tried), right
    print(f"{len(tried)} refused, {right} with the right key or range")


@pytest.mark.long
def test_slips_end_the_real_command_before_jax(tmp_path):
    tried = slips(300)[::10]
    for argument, _ in tried:
        ended = start(tmp_path, "--config", DATASET, "--workdir", str(tmp_path / "run"), argument)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1), (
            argument,
            ended.stderr,
        )
        assert "JAX was imported" not in ended.stderr
    assert not (tmp_path / "run").exists()
    print(f"{len(tried)} of the slips through the command: each exit code 2 and one line")
