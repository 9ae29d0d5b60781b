"""The model card of a saved model: data, training, numbers, intended use and limits, in Markdown."""

from typing import Any

import numpy as np

from mpcl_jax import __version__
from mpcl_jax.data.splits.descriptions import counted
from mpcl_jax.types import Recordings

TEXT = """# {title}

A model of the distribution over {emotions} emotions that a subject reports, trained with mpcl_jax {version}
(MPCL, Memory-guided Prototypical Co-occurrence Learning, arXiv 2602.20530; equations as in docs/method.md).

```python
import mpcl_jax as mpcl

model = mpcl.load("{folder}")
model.predict(X)  # [N, {emotions}], rows sum to 1: {names}
```

## Training data
{data}

## Training
{training}

## Numbers
{numbers}

## Intended use
Research on self-reported emotions of groups like the one above. A prediction is an estimate of what a subject would
report, not a measurement of what the subject feels.

## Limits
- Subjects, devices, units and situations that differ from the training data: predictions may be wrong without a sign.
  `predict` warns where values lie far outside the training range.
- Not for decisions about single subjects, in medicine, at work, in education or by authorities.
- {limit}

## Licence of the data
{licence}
"""


def about(recordings: Recordings) -> dict[str, Any]:
    """What a card says of the training data, ready for JSON."""
    reports = len(np.unique(recordings.trial))
    return {
        "name": recordings.name,
        "windows": len(recordings.labels),
        "subjects": len(np.unique(recordings.subject)),
        "trials": reports,
        "trial_name": recordings.trial_name,
        "window_seconds": None if np.isnan(recordings.duration) else recordings.duration,
        "present": {m: float(np.mean(x)) for m, x in recordings.present.items()},
        "notes": list(recordings.notes),
    }


def text(model: Any, table: Any = None) -> str:
    """The card of a fitted `model`; `table`: an `EvaluationTable`, whose numbers are shown, or None."""
    known, fits, spec = model._about, model._fits, model._spec
    windows = counted(known["windows"], "window", "windows")
    subjects = counted(known["subjects"], "subject", "subjects")
    data = [f"- {known['name']}: {windows} of {subjects}, {known['trials']} {known['trial_name']}"]
    if known["window_seconds"]:
        data.append(f"- windows of {known['window_seconds']:g} s")
    for m, shape in spec.shapes.items():
        share = "" if known["present"][m] == 1 else f", present in {known['present'][m]:.0%} of the windows"
        data.append(f"- {m} ({spec.groups[m]}): {shape[0]} × {shape[1]} values{share}")
    data += [f"- {note}" for note in known["notes"]]
    epochs = ", ".join(f"{fit.epoch} ({fit.choice})" for fit in fits)
    config = fits[0].config
    training = [
        f"- all {known['windows']} windows; epochs of each seed: {epochs}",
        f"- width {config.model.width}, {config.model.memory.slots} prototypes per emotion and modality group, "
        f"dropout {config.model.dropout:g}; mean of {counted(len(fits), 'model', 'models')}; settings: config.json",
        f"- personal memory {model.memory_.reason}",
    ]
    kernel = model.memory_.kernel
    if kernel and kernel.others:
        held = counted(len(kernel.others.subject), "trial", "trials")
        training.append(
            f"- model.npz holds residuals and views of {held} of the training subjects, without names"
        )
    lines = (
        "No evaluation was given to `save(folder, table)`: how well it predicts unseen subjects is not known."
    )
    return TEXT.format(
        title=f"MPCL on {known['name']}",
        emotions=len(spec.emotions),
        names=", ".join(spec.emotions),
        version=__version__,
        folder="path/of/this/folder",
        data="\n".join(data),
        training="\n".join(training),
        numbers=lines if table is None else str(table),
        limit=_limit(known),
        licence=_licence(known["notes"]),
    )


def _limit(known: dict[str, Any]) -> str:
    if known["subjects"] == 1:
        return "One subject, or subjects that were not named: nothing is known about other subjects."
    return f"{known['subjects']} subjects: nothing is known about subjects of other groups."


def _licence(notes: list[str]) -> str:
    known = [note for note in notes if "may be used" in note or "licence" in note.lower()]
    return "\n".join(known) or "Not stated. The terms of the training data may also hold for this model."
