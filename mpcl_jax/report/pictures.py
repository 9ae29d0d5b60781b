"""The pictures of a run: which are drawn, of what, and as what kind of SVG they enter a page."""

from typing import NamedTuple

import numpy as np

from mpcl_jax.config.resolve import resolve
from mpcl_jax.config.schema import ORACLES
from mpcl_jax.data.simulate import simulate
from mpcl_jax.evaluate.number_text import decimal
from mpcl_jax.labels import cooccurrence_of, evidence_of
from mpcl_jax.report.explanation import window_kl
from mpcl_jax.report.plots import memory as memory_plots
from mpcl_jax.report.plots import results
from mpcl_jax.report.plots.browser_svg import to_svg
from mpcl_jax.report.plots.ranking import critical_difference
from mpcl_jax.report.plots.style import Figure
from mpcl_jax.runs.read_run import RunFiles

METHODS = {"pca": "Principal components", "umap": "UMAP (cosine)"}
RANKS_CAPTION = (
    "Mean rank over the table's subjects (or trials); a bar joins neighbours without a significant difference "
    "(Holm's correction for all pairs, statistics.md)."
)
TRUTHS = ("reported by people", "planted")  # maps that the others are compared with


MOST_EMOTIONS = 40  # that a picture shows: with more, names are too small to read and pages grow


class Picture(NamedTuple):
    """One figure of a page."""

    key: str  # an anchor of the page
    title: str
    caption: str
    svg: str


def drawn_emotions(run: RunFiles) -> np.ndarray:
    """Indices, ascending, of the emotions that pictures show: all, or the `MOST_EMOTIONS` of the largest shares."""
    order = np.argsort(-run.reported.mean(0), kind="stable")
    return np.sort(order[:MOST_EMOTIONS])


def _names(run: RunFiles) -> tuple[list[str], list[str], str]:
    """Names and valence groups of the drawn emotions, and the sentence of a caption where others are left out."""
    drawn, count = drawn_emotions(run), len(run.emotions)
    left_out = f" Only the {len(drawn)} most reported of {count} emotions are drawn." * (len(drawn) < count)
    return [run.emotions[c] for c in drawn], [run.valence[c] for c in drawn], left_out


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
        found.append(results.Method(name, np.array(people), *values, oracle=row["method"] in ORACLES))
    return found


def best_typical_worst(run: RunFiles) -> dict[str, int]:
    """Rows of the windows with the lowest, the middle and the highest KL."""
    order = np.argsort(window_kl(run.reported, run.predicted), kind="stable")
    return {"best": int(order[0]), "typical": int(order[len(order) // 2]), "worst": int(order[-1])}


def draw_results(run: RunFiles) -> list[Picture]:
    """People, samples, emotions, lost modalities."""
    *names, left_out = _names(run)
    drawn = drawn_emotions(run)
    kl = window_kl(run.reported, run.predicted)
    samples = [
        results.Sample(
            f"{what}, KL {decimal(kl[row], 3)}\n{run.id[row]}",
            run.reported[row][drawn],
            run.predicted[row][drawn],
        )
        for what, row in best_typical_worst(run).items()
    ]
    mean = run.baselines.get("train_mean")
    of_mean, errors = (
        None if x is None else results.emotion_errors(run.reported[:, drawn], x[:, drawn], run.subject)
        for x in (mean, run.predicted)
    )
    figures = [
        (
            "people",
            "One value per subject",
            f"A dot is one subject (n = {errors.subjects}); the diamond is the mean, the line its 95 % interval.",
            results.subject_dots(methods_of(run)),
        ),
        (
            "samples",
            "Best, typical and worst",
            f"Predicted and reported shares of three test windows.{left_out}",
            results.distribution_bars(samples, *names),
        ),
        (
            "emotions",
            "Which emotions are hard",
            "Mean absolute error of each emotion's share, over windows, then over subjects "
            f"(n = {errors.subjects}).{left_out}",
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
    rank = [float(row["mean_rank"]) for row in run.ranking]
    return critical_difference(names, rank, groups)


def draw_memory(run: RunFiles, method: str = "pca") -> list[Picture]:
    """Co-occurrence, prototypes placed by `method` (`prototype_places`), what the fusion recalled."""
    maps, drawn = cooccurrences(run), drawn_emotions(run)
    *names, left_out = _names(run)
    references = [name for name in maps if name in TRUTHS]
    figure = memory_plots.cooccurrence_maps(
        maps, run.emotions, run.valence, references=references, shown=drawn
    )
    caption = (
        "Bright: together more often than if independent; dark: less often. Emotions of one valence stand "
        f"together. r compares the pairs of different emotions.{left_out}"
    )
    figures = [("cooccurrence", "Which emotions go together", caption, figure)]
    if run.memory is not None:
        places = memory_plots.prototype_places(run.memory.bank, method)
        bank, usage = run.memory.bank[:, drawn], run.memory.usage[drawn]
        picture = memory_plots.prototype_map(bank, usage, *names, places=places[:, drawn], sides=run.sides)
        of_banks = (
            f"{METHODS[method]} of both banks, the behavioural one rotated onto the physiological. A line joins "
            "the two sides of a slot: the shorter, the better they agree."
            if len(run.sides) == 2
            else f"{METHODS[method]} of the {run.sides[0]} bank, the only one."
        )
        caption = f"{of_banks} Area: the slot's share of its emotion's evidence. First fold.{left_out}"
        figures.append(("prototypes", "The prototypes", caption, picture))
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
        drawn = drawn_emotions(run)
        *names, left_out = _names(run)
        caption = (
            "Left: how far prototypes move within an epoch. Right: which slots an emotion uses. "
            f"First fold.{left_out}"
        )
        epoch, drift, usage = run.history
        history = memory_plots.slot_history(epoch, drift[:, drawn], usage[:, drawn], *names)
        pictures.append(Picture("history", "The memory over training", caption, to_svg(history)))
    return pictures
