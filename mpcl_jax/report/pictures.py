"""The figures of a run and the arrays that they show. Their titles and captions are in run.html."""

import numpy as np
import pandas as pd

from mpcl_jax import metrics
from mpcl_jax.config.resolve import resolve
from mpcl_jax.config.schema import ORACLES
from mpcl_jax.data.simulate import simulate
from mpcl_jax.evaluation.number_text import decimal, shown_name
from mpcl_jax.evaluation.ranking import groups_of
from mpcl_jax.labels import cooccurrence_of, evidence_of
from mpcl_jax.report.plots import memory as memory_plots
from mpcl_jax.report.plots import results
from mpcl_jax.report.plots.style import Figure
from mpcl_jax.report.written import curve_figure
from mpcl_jax.runs.read_run import RunFiles

REPORTED, RETRIEVED = "Reported by subjects", "Retrieved by MPCL"
STORED, TRUTH = "Stored in memory", "Simulated truth"
TRUTHS = (REPORTED, TRUTH)  # maps that the others are compared with
MOST_EMOTIONS = 40  # in a figure; with more, names are too small to read and the page is too large


def drawn_emotions(run: RunFiles) -> np.ndarray:
    """Indices, ascending, of the emotions that pictures show: all, or the `MOST_EMOTIONS` of the largest shares."""
    order = np.argsort(-run.reported.mean(0), kind="stable")
    return np.sort(order[:MOST_EMOTIONS])


def _names(run: RunFiles) -> tuple[list[str], list[str]]:
    """Names and valence groups of the drawn emotions."""
    drawn = drawn_emotions(run)
    return [run.emotions[c] for c in drawn], [run.valence[c] for c in drawn]


def cooccurrences(run: RunFiles) -> dict[str, np.ndarray]:
    """Joint shares [C, C] by title: reported, stored, retrieved, and the truth of simulated recordings.

    Reported: mean of e eᵀ over the test windows, e the evidence (the label above its floor). Retrieved: mean of
    e_c · M_c, M_c what the model retrieves for emotion c.
    """
    evidence = evidence_of(run.reported.astype(np.float64))
    maps = {REPORTED: cooccurrence_of(evidence)}
    if run.memory is not None:
        retrieved = np.einsum("pc,pcd->cd", evidence, run.cooccurrence_map)
        maps[RETRIEVED] = retrieved / max(retrieved.sum(), 1e-12)
        maps[STORED] = run.memory.cooccurrence.astype(np.float64)
    if run.data["name"] == "simulated":
        maps[TRUTH] = simulate(resolve(run.config).data.simulate)[1].cooccurrence
    return maps


def methods_of(run: RunFiles) -> list[results.Method]:
    """Every row of the run's table with the KL of its subjects."""
    found = []
    for row in run.table:
        of_subjects = np.array([float(s["kl"]) for s in run.subjects if s["method"] == row["method"]])
        values = (float(row[x]) for x in ("kl", "kl_low", "kl_high"))
        name, oracle = shown_name(row["method"]), row["method"] in ORACLES
        found.append(results.Method(name, of_subjects, *values, oracle=oracle))
    return found


def best_median_worst(run: RunFiles) -> dict[str, int]:
    """Rows of the windows with the lowest, the median and the highest KL."""
    order = np.argsort(metrics.kl(run.reported, run.predicted), kind="stable")
    return {"best": int(order[0]), "median": int(order[len(order) // 2]), "worst": int(order[-1])}


def figures_of(run: RunFiles) -> dict[str, Figure]:
    """Every figure that the run has data for, by the name that run.html gives it."""
    figures = result_figures(run) | {
        "missing": _missing(run),
        "cooccurrence": _all_maps(run),
        "prototypes": _prototypes(run),
        "association": _association(run),
        "curves": results.learning_curves(run.metrics) if run.metrics else None,
        "history": _history(run),
        "written": None if run.written is None else curve_figure(run.written.curve),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def result_figures(run) -> dict[str, Figure]:
    """The figures of the predictions alone, of a `RunFiles` or a `Compared` (`methods_page.py`)."""
    figures = {"subjects": results.subject_dots({"": methods_of(run)}), "ranks": _ranks(run)}
    figures = {name: figure for name, figure in figures.items() if figure is not None}
    return figures if run.predicted is None else figures | _errors(run)


def _ranks(run: RunFiles) -> Figure | None:
    if len(run.ranking) < 3:
        return None
    names = [row["method"] for row in run.ranking]
    ranks, groups = [float(row["mean_rank"]) for row in run.ranking], groups_of(pd.DataFrame(run.ranking))
    return results.critical_difference(names, ranks, groups)


def _errors(run: RunFiles) -> dict[str, Figure]:
    names, drawn = _names(run), drawn_emotions(run)
    kl = metrics.kl(run.reported, run.predicted)
    samples = {
        f"{what}\nKL {decimal(kl[row])}": (run.reported[row][drawn], run.predicted[row][drawn])
        for what, row in best_median_worst(run).items()
    }
    of_mean, errors = (
        None if x is None else results.emotion_errors(run.reported[:, drawn], x[:, drawn], run.subject)
        for x in (run.baselines.get("train_mean"), run.predicted)
    )
    return {
        "samples": results.distribution_bars(samples, *names),
        "emotions": results.error_per_emotion(errors, of_mean, *names),
    }


def _missing(run: RunFiles) -> Figure | None:
    seen, mean = run.inspection, run.baselines.get("train_mean")
    if seen is None or len(seen.modality) < 2:
        return None
    alone = mean is None or run.written is not None  # the baseline would have its memory, the model not
    level = None if alone else float(np.mean(metrics.kl(run.reported, mean)))
    kl = np.nanmean(seen.subset_kl, 0)
    return results.missing_modality_curve(seen.subset, kl, seen.modality, train_mean=level)


def _all_maps(run: RunFiles) -> Figure:
    maps = cooccurrences(run)
    references = [name for name in maps if name in TRUTHS]
    return memory_plots.cooccurrence_maps(
        maps, run.emotions, run.valence, references=references, shown=drawn_emotions(run)
    )


def _prototypes(run: RunFiles) -> Figure | None:
    if run.memory is None:
        return None
    drawn = drawn_emotions(run)
    places = memory_plots.prototype_places(run.memory.bank)[:, drawn]
    return memory_plots.prototype_map(places, run.memory.usage[drawn], *_names(run), run.modality_groups)


def _association(run: RunFiles) -> Figure | None:
    if run.inspection is None or not run.inspection.association.any():
        return None
    share = run.inspection.association.mean(0)
    share = share / np.maximum(share.sum((0, 2), keepdims=True), 1e-12)
    return memory_plots.association_weights(share, run.inspection.modality, run.inspection.scale)


def _history(run: RunFiles) -> Figure | None:
    if run.history is None:
        return None
    (epoch, drift, usage), drawn = run.history, drawn_emotions(run)
    return memory_plots.slot_history(epoch, drift[:, drawn], usage[:, drawn], *_names(run))
