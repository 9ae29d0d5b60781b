"""Kept programs: a second process predicts the same without Flax, and a file that does not fit is not used."""

import jax
import numpy as np
import pytest
from tiny_model import CONFIG, SPEC, changed, quick_jit, tiny

from mpcl_jax.runs import programs
from mpcl_jax.train import kept_programs


@pytest.fixture
def predicted(tmp_path, monkeypatch):
    """Predicts 3 rows as a new process would: `predicted(config)`; `predicted.traced` counts traces of the model."""
    monkeypatch.setattr(kept_programs, "user_folder", lambda: tmp_path)
    monkeypatch.setattr(programs, "compiled", quick_jit)
    passes = programs._passes
    _, held = tiny()
    rng = np.random.default_rng(0)
    signals = {m: rng.normal(size=(3, *shape)).astype(np.float32) for m, shape in SPEC.shapes.items()}
    present = {m: np.ones(3, bool) for m in SPEC.shapes}

    def predict(config=CONFIG, spec=SPEC):
        functions = programs.functions_of(config, spec)
        return jax.tree.map(np.asarray, functions[predict.which](held, signals, present))

    def counted(*given):
        predict.traced += 1
        return passes(*given)

    predict.traced = predict.which = 0
    monkeypatch.setattr(programs, "_passes", counted)
    return predict


def files(folder):
    return [file for file in folder.rglob("*") if file.is_file()]


@pytest.mark.parametrize(("which", "precision"), [(0, "float32"), (0, "bfloat16"), (1, "float32")])
def test_a_kept_program_gives_the_same_numbers_without_the_model(predicted, tmp_path, which, precision):
    config, predicted.which = changed(CONFIG, train={"precision": precision}), which
    first = predicted(config)
    assert predicted.traced == 1 and len(files(tmp_path)) == 1
    jax.tree.map(np.testing.assert_array_equal, predicted(config), first)
    assert predicted.traced == 1


@pytest.mark.parametrize("held", [b"", b"foreign", None])
def test_a_damaged_file_is_written_again(predicted, tmp_path, held):
    first = predicted()
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if held is None else held)
    for _ in range(2):
        np.testing.assert_array_equal(predicted(), first)
    assert predicted.traced == 2  # not a third time


def test_a_file_with_the_name_of_another_is_not_read(predicted, tmp_path):
    predicted()
    (other,) = files(tmp_path)
    predicted.which = 1
    first = predicted()
    (file,) = set(files(tmp_path)) - {other}
    file.write_bytes(other.read_bytes())
    jax.tree.map(np.testing.assert_array_equal, predicted(), first)


def test_another_order_of_the_modalities_has_a_program_of_its_own(predicted):
    predicted.which = 1
    turned = SPEC._replace(
        groups=dict([*SPEC.groups.items()][::-1]), shapes=dict([*SPEC.shapes.items()][::-1])
    )
    predicted()
    kept = predicted(spec=turned)
    alone = predicted(changed(CONFIG, log={"keep_compiled": False}), turned)
    jax.tree.map(np.testing.assert_array_equal, kept, alone)
    assert predicted.traced == 3


def test_other_settings_have_a_program_of_their_own(predicted, tmp_path):
    other = changed(CONFIG, model={"memory": {"temperature": 0.05}})
    assert np.abs(predicted() - predicted(other)).max() > 0
    assert predicted.traced == 2 and len(files(tmp_path)) == 2


def test_nothing_is_kept_where_the_settings_or_the_disk_do_not_allow_it(predicted, tmp_path, monkeypatch):
    first = predicted(changed(CONFIG, log={"keep_compiled": False}))
    assert not files(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(kept_programs, "user_folder", lambda: tmp_path / "file")
    np.testing.assert_array_equal(predicted(), first)
    assert predicted.traced == 2
