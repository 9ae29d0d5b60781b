"""The data behind each figure: values of the drawn marks, cells and bars, not pixels."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.text import Text
from python_process import python

from experiments.figures.split_grid import split_grid
from experiments.shared import comparison_plots
from mpcl_jax.config.data import ProtocolConfig, SimulateConfig
from mpcl_jax.data.simulate import simulate
from mpcl_jax.data.splits.protocols import make_split
from mpcl_jax.report.plots import memory, results
from mpcl_jax.report.plots.results import critical_difference
from mpcl_jax.report.plots.style import by_valence, make_figure, shortened, styled

NAMES, VALENCE = ("calm", "fear $x_", "joy"), ("positive", "negative", "positive")  # ordered: calm, joy, fear


def drawn(figure):
    """The figure's panels, laid out and drawn once: a name that cannot be drawn fails here."""
    figure.draw_without_rendering()
    return figure.axes


def test_matplotlib_settings_of_the_user_do_not_change_a_figure_and_are_restored():
    def png() -> bytes:
        file = io.BytesIO()
        with styled():
            figure = make_figure(1, 1)
            figure.subplots().plot([0, 1], label="a_b")
            figure.savefig(file, format="png")
        return file.getvalue()

    expected, odd = png(), {"text.usetex": True, "lines.linewidth": 9.0, "savefig.dpi": 7, "font.size": 30.0}
    with matplotlib.rc_context(odd):
        assert png() == expected
        assert {name: matplotlib.rcParams[name] for name in odd} == odd


@pytest.mark.parametrize("backend, taken", [("nothing_like_this", "agg"), ("svg", "svg")])
def test_an_unknown_matplotlib_backend_does_not_prevent_the_import(backend, taken):
    code = "import mpcl_jax.report.plots.memory, matplotlib; print(matplotlib.get_backend())"
    ended = python("-c", code, MPLBACKEND=backend)
    assert (ended.stderr, ended.stdout.strip()) == ("", taken)


def test_emotions_are_ordered_by_valence_and_long_names_shortened():
    assert by_valence(VALENCE).tolist() == [0, 2, 1]
    assert shortened("a" * 30) == "a" * 12 + "…" + "a" * 5
    assert shortened("x\ny") == "x y"
    assert shortened("快乐" * 6) == "快乐快…乐快乐快乐"  # an ideograph is as wide as two letters


def test_cooccurrence_cells_are_log_lifts_in_the_order_of_valence():
    # Shares of calm, fear, joy: ½, ¼, ¼. Lift of calm and joy: 0.25 / 0.125 = 2, log₂ 1; of fear and calm:
    # 0.0625 / 0.125, log₂ −1; of fear and joy: 0.03125 / 0.0625, log₂ −1.
    joint = np.array([[0.1875, 0.0625, 0.25], [0.0625, 0.15625, 0.03125], [0.25, 0.03125, -0.03125]])
    axes = drawn(memory.cooccurrence_maps({"a": joint, "b": 2 * joint}, NAMES, VALENCE, references=("a",)))
    cells = axes[0].images[0].get_array()
    assert np.ma.getmaskarray(cells).diagonal().all()
    expected = [[np.nan, 1, -1], [1, np.nan, -1], [-1, -1, np.nan]]
    np.testing.assert_allclose(cells.filled(np.nan), expected, atol=1e-9)
    assert [axis.get_title(loc="left") for axis in axes[:2]] == ["a", "b"]
    assert [axis.texts[0].get_text() for axis in axes[:2]] == ["", "r = 1.00 with a"]
    assert [x.get_text() for x in axes[0].get_yticklabels()] == ["calm", "joy", "fear $x_"]
    low, high = axes[0].get_ylim()
    assert low > high  # the first emotion is on top
    assert axes[2].get_xlabel() == "lift: joint frequency / frequency if independent"
    joint[2] = joint[:, 2] = 0.0
    assert np.isnan(memory.log_lift(joint)[2]).all() and np.isfinite(memory.log_lift(joint)[0, 1])


def test_a_rotated_bank_lies_on_its_twin():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(3, 2, 4))
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    places = memory.prototype_places(np.stack([first, first @ turn]))
    np.testing.assert_allclose(places[0], places[1], atol=1e-9)
    centred = first.reshape(-1, 4) - first.reshape(-1, 4).mean(0)
    variance = np.linalg.svd(centred)[1] ** 2
    np.testing.assert_allclose((places[0].reshape(-1, 2) ** 2).sum(0), variance[:2], rtol=1e-9)


def test_the_prototype_map_marks_every_slot_by_its_usage():
    places = np.arange(24.0).reshape(2, 3, 2, 2)
    usage = np.array([[3.0, 1.0], [1.0, 1.0], [0.0, 2.0]])
    (axis,) = drawn(memory.prototype_map(places, usage, NAMES, VALENCE))
    lines, positive, negative, *_ = axis.collections
    np.testing.assert_array_equal(np.array(lines.get_segments())[0], [places[0, 0, 0], places[1, 0, 0]])
    np.testing.assert_array_equal(positive.get_offsets(), places[0, [0, 2]].reshape(-1, 2))
    # Area 12 + 130 × the slot's share of its emotion: ¾, ¼, 0, 1.
    np.testing.assert_allclose(positive.get_sizes(), [109.5, 44.5, 12, 142])
    assert len(negative.get_offsets()) == 2
    assert {text.get_text() for text in axis.texts} == set(NAMES)


def test_names_beside_the_map_never_overlap():
    rng = np.random.default_rng(0)
    names = [f"emotion number {c}" for c in range(24)]
    bank = rng.normal(size=(2, 24, 4, 8))
    places = memory.prototype_places(bank)
    figure = memory.prototype_map(places, np.ones((24, 4)), names, ["a"] * 12 + ["b"] * 12)
    (axis,) = drawn(figure)
    boxes = [Text.get_window_extent(text) for text in axis.texts]  # without its line
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.p0, box.p1))


def test_history_shows_median_drift_and_every_slot():
    drift = np.stack([np.full((3, 2), 0.5), np.full((3, 2), 0.1)])
    usage = np.arange(12.0).reshape(2, 3, 2) / 12
    upper, lower, bar = drawn(memory.slot_history([1, 2], drift, usage, NAMES, VALENCE))
    np.testing.assert_allclose(upper.lines[-1].get_ydata(), [0.5, 0.1])
    cells = lower.images[0].get_array()
    np.testing.assert_allclose(cells[2], usage[:, 2, 0])  # joy's first slot follows calm's two
    assert bar.get_xlabel() == "usage: share of the emotion's evidence"


def test_association_cells_are_per_cent():
    shares = np.array([[[0.1, 0.2], [0.3, 0.0]], [[0.4, 0.3], [0.5, 0.2]]])
    axes = drawn(memory.association_weights(shares, ("eeg", "video"), (1.0, 4.0)))
    assert [text.get_text() for text in axes[1].texts] == ["40", "30", "50", "20"]
    assert axes[0].get_title(loc="left") == "scale 1\n30 % of all"  # (.1 + .2 + .3 + 0) of two modalities


def test_bars_are_shares_in_per_cent():
    samples = {"one": (np.array([0.5, 0.2, 0.3]), np.array([0.4, 0.4, 0.2]))}
    (axis,) = drawn(results.distribution_bars(samples, NAMES, VALENCE))
    reported, predicted = axis.containers
    assert [bar.get_width() for bar in reported] == pytest.approx([50, 30, 20])
    assert [bar.get_width() for bar in predicted] == pytest.approx([40, 20, 40])


def test_errors_are_means_over_subjects_with_students_interval():
    # Three subjects, errors of the first emotion .1 (two windows), .2 and .3: mean .2, sd .1, t(2) = 4.302653.
    reported = np.array([[0.5, 0.5]] * 4)
    predicted = np.array([[0.55, 0.45], [0.65, 0.35], [0.7, 0.3], [0.8, 0.2]])
    found = results.emotion_errors(reported, predicted, np.array(["a", "a", "b", "c"]))
    assert found.mean == pytest.approx([0.2, 0.2])
    assert found.high - found.mean == pytest.approx([4.302653 * 0.1 / 3**0.5] * 2, rel=1e-5)
    (axis,) = drawn(results.error_per_emotion(found, None, ("x", "y"), ("p", "p")))
    assert axis.lines[0].get_xdata() == pytest.approx([20, 20])
    assert axis.lines[0].get_label() == "MPCL, 95 % interval"
    assert "n = 3 subjects" in axis.get_xlabel()
    one = results.emotion_errors(reported[:1], predicted[:1], np.array(["a"]))
    (axis,) = drawn(results.error_per_emotion(one, None, ("x", "y"), ("p", "p")))
    assert axis.lines[0].get_label() == "MPCL" and axis.get_xlabel().endswith("n = 1 subject")


def test_every_subject_is_a_dot_and_the_mean_a_diamond_one_panel_per_run():
    method = results.Method("MPCL", np.array([0.1, 0.3]), 0.2, 0.05, 0.35)
    axis, other = drawn(results.subject_dots({"one": [method], "two": [method, method]}))
    assert (axis.get_title(loc="left"), len(other.get_yticklabels())) == ("one", 2)
    assert axis.lines[0].get_xdata() == pytest.approx([0.1, 0.3])
    assert axis.lines[1].get_xdata() == pytest.approx([0.2])
    np.testing.assert_allclose(axis.collections[0].get_segments()[0][:, 0], [0.05, 0.35])


def test_the_curve_of_lost_modalities_is_the_mean_of_each_size():
    subset = np.array([[True, True], [True, False], [False, True]])
    (axis,) = drawn(results.missing_modality_curve(subset, np.array([0.1, 0.2, 0.4]), ("eeg", "video")))
    np.testing.assert_allclose(axis.lines[1].get_xydata(), [[-2, 0.1], [-1, 0.3]])
    assert [text.get_text() for text in axis.texts] == ["eeg", "video"]


def test_learning_curves_have_a_panel_per_name_and_the_mean_in_bold():
    metrics = [
        {"fold": f, "epoch": e, "gone": 0.0, "new_kl": None if e == 2 else 1.0, "loss": f + e}
        for f in (0, 2)
        for e in (1, 2)
    ]
    axes = drawn(results.learning_curves(metrics))
    assert [axis.get_title(loc="left") for axis in axes[:2]] == [
        "total loss",
        "new kl",
    ]  # a curve that is 0 throughout is left out
    np.testing.assert_allclose(axes[0].lines[-1].get_xydata(), [[1, 2], [2, 3]])
    np.testing.assert_allclose(axes[1].lines[-1].get_xydata(), [[1, 1]])


def test_a_split_is_drawn_window_by_window():
    made, _ = simulate(SimulateConfig(subjects=3, clips=4, windows=2))
    # Of the four trials of a subject, one is in training, one is not used, two are tested.
    settings = ProtocolConfig(kind="calibrated", calibration=1, calibration_pool=2, validation=0.5)
    axes = drawn(split_grid(made, make_split(made, settings)))
    assert [axis.get_title(loc="left") for axis in axes] == ["fold 1 of 3", "fold 2 of 3", "fold 3 of 3"]
    cells = np.asarray(axes[0].images[0].get_array())
    assert cells.shape == (3, 4 * 2)  # subjects, stimuli × windows
    assert np.array_equal(cells[:, ::2], cells[:, 1::2])
    assert sorted(cells[0, ::2].tolist()) == [0, 1, 3, 3]
    assert sorted([cells[1].max(), cells[2].max()]) == [1, 2] and (cells[1:] > 0).all()
    assert [x.get_text() for x in axes[0].get_yticklabels()] == ["P01", "P02", "P03"]


def test_the_figure_of_a_leaky_split_is_marked():
    made, _ = simulate(SimulateConfig(subjects=2, clips=2, windows=5))
    figure = split_grid(made, make_split(made, ProtocolConfig(kind="window80")))
    assert "LEAKY" in figure.get_suptitle()


def test_ranks_are_in_order_and_a_bar_joins_each_group():
    names = ["MPCL", "ridge_$x", "train_mean", "uniform"]
    (axis,) = drawn(critical_difference(names, [1.2, 1.9, 3.0, 3.9], [("MPCL", "ridge_$x"), names[1:3]]))
    assert [x.get_text() for x in axis.get_yticklabels()] == ["MPCL", "ridge $x", "train mean", "uniform"]
    stems, *bars = axis.collections[0], *axis.collections[2:]
    assert [segment[1, 0] for segment in stems.get_segments()] == [1.2, 1.9, 3.0, 3.9]
    spans = [bar.get_segments()[0][:, 1].round().tolist() for bar in bars]
    assert spans == [[0, 1], [1, 2]]
    assert axis.get_ylim()[0] > axis.get_ylim()[1]  # the best is on top


def test_differences_have_their_values_and_only_significant_ones_are_marked():
    ends = ([0.1, -0.01], [0.05, -0.1], [0.2, 0.1])  # the rule marks the second, whatever the intervals say
    (axis,) = drawn(comparison_plots.differences(["a", "b"], *ends, [False, True], label="KL"))
    marked, others = (line.get_xydata().tolist() for line in axis.lines[1:])
    assert (marked, others) == ([[-0.01, 1]], [[0.1, 0]])
    ends = [path.vertices[:, 0].tolist() for path in axis.collections[0].get_paths()]
    assert ends == [[0.05, 0.2], [-0.1, 0.1]]


def test_curves_and_sweeps_hold_means_and_intervals_and_ring_the_value_in_use():
    line = comparison_plots.Curve("train_mean", [1, 8], [0.3, 0.2], [0.25, 0.1], [0.35, 0.3])
    (axis,) = drawn(comparison_plots.curves([line], across="subjects", up="KL"))
    assert axis.lines[0].get_ydata().tolist() == [0.3, 0.2] and axis.lines[0].get_label() == "train mean"
    assert [text.get_text() for text in axis.get_xticklabels()] == ["1", "8"]
    ends = [path.vertices[:, 1].tolist() for path in axis.collections[0].get_paths()]
    assert ends == [[0.25, 0.35], [0.1, 0.3]]
    axis, *others = drawn(comparison_plots.sweeps([(line, 8)], up="KL"))
    assert not others and axis.lines[1].get_xydata().tolist() == [[1, 0.2]]
