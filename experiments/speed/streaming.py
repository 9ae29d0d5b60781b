"""Latency and memory of `mpcl_jax.stream` with the four sensors of a wrist device.

    python -m experiments.speed.streaming
    python -m experiments.speed.streaming --hours 2

Latency: milliseconds from the last sample of a hop to its distribution, for a model of width 32 and windows of 60 s
with a hop of 1 s; "memory" with three written reports. Processor time is that of all threads. Memory: resident memory
after one and after --hours simulated hours (hop 30 s), which repeat one recording, so that the predictions of the
last hour must equal those of the second, bit for bit. The result is a table on the screen.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

import mpcl_jax as mpcl
from experiments.shared.table_command import ending, positive
from mpcl_jax.estimator.opened_model import OpenedModel, opened_model
from mpcl_jax.evaluation.table_text import markdown_of
from mpcl_jax.model.recall_kernel import FEATURES, LOG_PROBS, RecallKernel
from mpcl_jax.stream.events import Report, Samples
from mpcl_jax.stream.session import StreamSession
from mpcl_jax.stream.sources import replay

RATES = {"bvp": 64.0, "eda": 4.0, "temp": 4.0, "acc": 32.0}
WINDOW, SECONDS, HOUR = 60.0, 600, 3600
KERNEL = RecallKernel(0.5, {FEATURES: 1.0, LOG_PROBS: 0.5}, {FEATURES: 1.0, LOG_PROBS: 1.0}, 0.1)


def recording(seed: int) -> dict[str, np.ndarray]:
    """Ten minutes of a worn device, sensor -> [n] or [n, 3]."""
    rng = np.random.default_rng(seed)
    t = {m: np.arange(int(SECONDS * rate)) / rate for m, rate in RATES.items()}
    return {
        "bvp": np.sin(2 * np.pi * 1.2 * t["bvp"]) ** 3 + 0.1 * rng.normal(size=t["bvp"].size),
        "eda": 2 + 0.3 * np.sin(0.03 * t["eda"]) + 0.01 * rng.normal(size=t["eda"].size),
        "temp": 33 + 0.05 * rng.normal(size=t["temp"].size),
        "acc": rng.normal((0, 0, 1), 0.03, (t["acc"].size, 3)),
    }


def trained() -> OpenedModel:
    """A model of six emotions after one epoch."""
    values = mpcl.features.extract(recording(0), RATES, WINDOW, 5.0).values
    labels = np.random.default_rng(0).dirichlet(np.ones(6), len(values["eda"]))
    model = mpcl.MPCLRegressor(epochs=1, width=32, early_stopping=False, personal_memory=False)
    return opened_model(model.fit(values, labels))


def latency(model: OpenedModel, reports: int) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds, as wall-clock and processor time, of every call that returned a prediction."""
    session = StreamSession(model, window=WINDOW, hop=1.0, rates=RATES)
    wall, cpu = [], []
    for chunk in replay(recording(1), RATES, chunk=0.25):
        if len(session.written_trials) < reports and chunk.times[0] >= 100 * (
            1 + len(session.written_trials)
        ):
            session.push(Report(float(chunk.times[0]), np.random.default_rng(0).random(6)))
        before = time.perf_counter(), time.process_time()
        if session.push(chunk):
            wall.append(1e3 * (time.perf_counter() - before[0]))
            cpu.append(1e3 * (time.process_time() - before[1]))
    return np.array(wall[5:]), np.array(cpu[5:])  # the first ones compile


def hours_of(hours: int) -> Iterator[Samples]:
    """Chunks of one second; every ten minutes the same samples again."""
    chunks = list(replay(recording(2), RATES))
    for number in range(hours * HOUR // SECONDS):
        yield from (chunk._replace(times=chunk.times + number * SECONDS) for chunk in chunks)


def resident() -> float:
    """MiB of resident memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def growth(model: OpenedModel, hours: int) -> dict[str, str]:
    """Resident memory after the first and the last hour, and whether the predictions stayed the same."""
    session, found, after_first = StreamSession(model, window=WINDOW, hop=30.0, rates=RATES), [], 0.0
    for chunk in hours_of(hours):
        found += [(t, p.distribution) for t, p in session.push(chunk)]
        if not after_first and chunk.times[0] >= HOUR:
            after_first = resident()
    share = 100 * (resident() / after_first - 1)
    shares = dict(found)
    last = [t for t in shares if t > (hours - 1) * HOUR + WINDOW]
    same = all(np.array_equal(shares[t], shares[t - (hours - 2) * HOUR]) for t in last)
    return {
        f"memory after 1 h and {hours} h": f"{after_first:.0f} MiB, {share:+.2f} %",
        "last hour equals the second": "yes, bit for bit" if same else "no",
    }


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--hours", type=positive, default=24, metavar="N", help="simulated hours; default: 24"
    )
    args = parser.parse_args(words)
    with ending():
        model, rows = trained(), {}
        for name, of in (("no memory", model), ("memory", model._replace(kernel=KERNEL, reason="on"))):
            for kind, ms in zip(
                ("wall-clock", "processor"), latency(of, 3 * (name == "memory")), strict=True
            ):
                rows[f"{name}, {kind} ms"] = f"median {np.median(ms):.1f}, p95 {np.percentile(ms, 95):.1f}"
        rows |= growth(model, max(3, args.hours))
        print(markdown_of(pd.DataFrame(rows.items(), columns=["what", "value"])))


if __name__ == "__main__":
    main(sys.argv[1:])
