"""The pictures of a run: which are drawn, of what, and as what kind of SVG they enter a page."""

import io
import re
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mpcl_jax.config import resolve
from mpcl_jax.data.simulate import simulate
from mpcl_jax.inspection.explanation import window_kl
from mpcl_jax.inspection.run_files import RunFiles
from mpcl_jax.labels import cooccurrence_of, evidence_of
from mpcl_jax.plots import memory as memory_plots
from mpcl_jax.plots import results
from mpcl_jax.plots.ranking import critical_difference
from mpcl_jax.plots.style import BLUE, FAINT, INK, styled

METHODS = {"pca": "Principal components", "umap": "UMAP (cosine)"}
RANKS_CAPTION = (
    "Mean rank over the table's subjects (or trials); a bar joins neighbours without a significant difference "
    "(Holm's correction for all pairs, statistics.md)."
)
TRUTHS = ("reported by people", "planted")  # maps that the others are compared with


class Picture(NamedTuple):
    """One figure of a page."""

    key: str  # an anchor of the page
    title: str
    caption: str
    svg: str


def to_svg(figure: Figure) -> str:
    """SVG for the inside of a page: text as outlines, inks and blue replaced by the page's, no ids of groups."""
    out = io.StringIO()
    with styled():
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    own = {INK: "currentColor", FAINT: "var(--faint)", BLUE: "var(--blue)"}
    for colour, of_page in own.items():
        svg = svg.replace(colour.lower(), of_page)
    return svg


def cooccurrences(run: RunFiles) -> dict[str, np.ndarray]:
    """Joint shares [C, C] by name: reported, remembered, retrieved, and planted where the truth is known.

    Reported: mean of e eᵀ of the test windows, e the evidence (the label above its floor). Retrieved: mean of
    e_c · M_c, what each emotion called up.
    """
    evidence = evidence_of(run.reported.astype(np.float64))
    maps = {"reported by people": cooccurrence_of(evidence)}
    if run.memory is not None:
        maps["remembered"] = run.memory.cooccurrence.astype(np.float64)
        retrieved = np.einsum("pc,pcd->cd", evidence, run.cooccurrence_map)
        maps["retrieved by the model"] = retrieved / max(retrieved.sum(), 1e-12)
    if run.data["name"] == "simulated":
        maps["planted"] = simulate(resolve(run.config).data.simulate)[1].cooccurrence
    return maps


def methods_of(run: RunFiles) -> list[results.Method]:
    """Every row of the run's table with its people."""
    found = []
    for row in run.table:
        people = [float(s["kl"]) for s in run.subjects if s["method"] == row["method"]]
        name = row["method"].replace("_", " ")
        values = (float(row[x]) for x in ("kl", "kl_low", "kl_high"))
        found.append(results.Method(name, np.array(people), *values))
    return found


def best_typical_worst(run: RunFiles) -> dict[str, int]:
    """Rows of the windows with the lowest, the middle and the highest KL."""
    order = np.argsort(window_kl(run.reported, run.predicted), kind="stable")
    return {"best": int(order[0]), "typical": int(order[len(order) // 2]), "worst": int(order[-1])}


def draw_results(run: RunFiles) -> list[Picture]:
    """People, samples, emotions, lost modalities."""
    names = (run.emotions, run.valence)
    kl = window_kl(run.reported, run.predicted)
    samples = [
        results.Sample(f"{what}, KL {kl[row]:.3f}\n{run.id[row]}", run.reported[row], run.predicted[row])
        for what, row in best_typical_worst(run).items()
    ]
    mean = run.baselines.get("train_mean")
    of_mean = None if mean is None else results.emotion_errors(run.reported, mean, run.subject)
    errors = results.emotion_errors(run.reported, run.predicted, run.subject)
    figures = [
        (
            "people",
            "Everybody counts once",
            "A dot is a person the table counts; the diamond their mean with its interval.",
            results.subject_dots(methods_of(run)),
        ),
        (
            "samples",
            "Best, typical and worst",
            "Predicted and reported shares of three test windows.",
            results.distribution_bars(samples, *names),
        ),
        (
            "emotions",
            "Which emotions are hard",
            "Mean absolute error of each emotion's share, over windows, then over people.",
            results.error_per_emotion(errors, of_mean, *names),
        ),
    ]
    if len(run.ranking) > 2:
        figures.append(("ranks", "Who comes where", RANKS_CAPTION, _ranks(run)))
    seen = run.inspection
    if seen is not None and len(seen.modality) > 1:
        of_mean = float(np.mean(window_kl(run.reported, mean))) if mean is not None else None
        curve = results.missing_modality_curve(
            seen.subset, np.nanmean(seen.subset_kl, 0), seen.modality, train_mean=of_mean
        )
        caption = (
            "The same model with modalities withheld from every test window; the names are the best and the worst "
            "set of each size."
        )
        figures.append(("missing", "What is left when a sensor fails", caption, curve))
    return [Picture(key, title, caption, to_svg(figure)) for key, title, caption, figure in figures]


def _ranks(run: RunFiles) -> Figure:
    names = [row["method"] for row in run.ranking]
    letters = dict.fromkeys(letter for row in run.ranking for letter in row["groups"])
    groups = [[row["method"] for row in run.ranking if letter in row["groups"]] for letter in letters]
    return critical_difference(names, [float(row["mean_rank"]) for row in run.ranking], groups)


def draw_memory(run: RunFiles, method: str = "pca") -> list[Picture]:
    """Co-occurrence, prototypes placed by `method` (`prototype_places`), what the fusion recalled."""
    names, maps = (run.emotions, run.valence), cooccurrences(run)
    figure = memory_plots.cooccurrence_maps(
        maps, *names, references=[name for name in maps if name in TRUTHS]
    )
    caption = (
        "Bright: together more often than if independent; dark: less often. Emotions of one valence stand "
        "together. r compares the pairs of different emotions."
    )
    figures = [("cooccurrence", "Which emotions go together", caption, figure)]
    if run.memory is not None:
        places = memory_plots.prototype_places(run.memory.bank, method)
        drawn = memory_plots.prototype_map(
            run.memory.bank, run.memory.usage, *names, places=places, sides=run.sides
        )
        of_banks = (
            f"{METHODS[method]} of both banks, the behavioural one rotated onto the physiological. A line joins "
            "the two sides of a slot: the shorter, the better they agree."
            if len(run.sides) == 2
            else f"{METHODS[method]} of the {run.sides[0]} bank, the only one."
        )
        caption = f"{of_banks} Area: the slot's share of its emotion's evidence. First fold."
        figures.append(("prototypes", "The prototypes", caption, drawn))
    if run.inspection is not None and run.inspection.association.any():
        share = run.inspection.association.mean(0)
        share = share / np.maximum(share.sum((0, 2), keepdims=True), 1e-12)
        weights = memory_plots.association_weights(share, run.inspection.modality, run.inspection.scale)
        caption = (
            "Per cent of what the tokens of a row's modality recall, by scale and by the modality recalled; mean "
            "over test windows. Small scale: averages of many tokens; large: single ones."
        )
        figures.append(("association", "What the fusion recalls", caption, weights))
    return [Picture(key, title, caption, to_svg(figure)) for key, title, caption, figure in figures]


def draw_training(run: RunFiles) -> list[Picture]:
    """Learning curves, and what happened to the prototypes."""
    curves = results.learning_curves(run.metrics)
    pictures = [
        Picture("curves", "Learning curves", "Thin: one fold; bold: mean over folds.", to_svg(curves))
    ]
    if run.history is not None:
        caption = (
            "Left: how far prototypes move within an epoch. Right: which slots an emotion uses. First fold."
        )
        history = memory_plots.slot_history(*run.history, run.emotions, run.valence)
        pictures.append(Picture("history", "The memory over training", caption, to_svg(history)))
    return pictures
