"""Tables recomputed from saved predictions agree; every value that was changed by hand is named."""

import csv
import io
import json
import platform
import shutil

import numpy as np
import pytest
from finished_run import write_run

from mpcl_jax import __version__
from mpcl_jax.cli import verify
from mpcl_jax.evaluation import statistics_text
from mpcl_jax.evaluation.leaderboard import Result, make_table
from mpcl_jax.evaluation.verification import check_run, check_shipped
from mpcl_jax.train.environment import code_version, environment


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify") / "run"
    write_run(folder)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def cells(differences) -> set[str]:
    return {x.partition(": stored ")[0] for x in differences}


def test_a_run_agrees_with_itself_and_everything_was_compared(finished):
    found = check_run(finished)
    assert found.differences == () and found.windows == 24
    # Three methods. table.csv: 16 columns without the method; subjects.csv: six subjects and six measures;
    # statistics.csv: 18 columns; pairs.csv: 15 columns of three pairs. Of 24 windows the id and three shares.
    text = (finished / "table.md").read_text().splitlines()
    assert found.compared == 3 * 16 + 3 * 6 * 6 + 3 * 18 + 3 * 15 + len(text) + 24 * (1 + 3)


def test_every_number_of_the_tables_is_compared(run):
    changed = set()
    for name in ("table.csv", "subjects.csv", "statistics.csv", "pairs.csv"):
        comment, _, text = (run / name).read_text().partition("\n")
        out = io.StringIO()
        rows = list(csv.DictReader(io.StringIO(text)))
        writer = csv.DictWriter(out, rows[0], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            place = ", ".join(row[x] for x in ("method", "subject", "a", "b") if x in row)
            for column, value in row.items():
                digits = value.replace(".", "").replace("-", "")
                if column not in ("method", "subject", "seeds") and digits.isdigit():
                    row[column] = str(float(value) * (1 + 1e-7) + 1e-9)
                    changed.add(f"{name}: {place}, {column}")
            writer.writerow(row)
        (run / name).write_text(f"{comment}\n{out.getvalue()}")
    assert len(changed) > 3 * 9 + 3 * 36 + 3 * 12 + 3 * 9 and cells(check_run(run).differences) == changed


@pytest.mark.parametrize(
    "file, old, new, cell",
    [
        ("table.md", "| MPCL ", "| MPLC ", "table.md: line 7"),
        ("table.md", "best baseline: not", "best baseline: bet", "table.md: line"),
        ("table.csv", "24,6,grouped", "24,6,LEAKY", "table.csv: MPCL, split"),
        ("manifest.json", '"P0/clip@10.000"', '"P0/clip@11.000"', "predictions.csv: fold 0, P0/clip@10.000"),
        ("predictions.csv", "\nP1/clip@0.000,0,P1,", "\nP1/clip@0.000,0,P2,", "subjects.csv: MPCL, P1, kl"),
    ],
)
def test_what_was_changed_by_hand_is_named(run, file, old, new, cell):
    text = (run / file).read_text()
    assert old in text
    (run / file).write_text(text.replace(old, new))
    assert any(found.startswith(cell) for found in cells(check_run(run).differences))


@pytest.mark.parametrize(
    "file, method, cells_found",
    [
        ("predictions.npz", "predicted", {"predictions.csv: P0/clip@30.000, predicted_emotion 0"}),
        ("baselines.npz", "train_mean", {"table.csv: train_mean, kl", "subjects.csv: train_mean, P0, kl"}),
    ],
)
def test_a_single_changed_prediction_is_found(run, file, method, cells_found):
    place = run / "folds" / "00" / file
    with np.load(place) as opened:
        arrays = dict(opened)
    arrays[method][3] = arrays[method][3][::-1]
    np.savez(place, **arrays)
    assert cells_found <= cells(check_run(run).differences)


def test_a_shipped_table_of_two_seeds(tmp_path):
    runs, results = tmp_path / "runs", tmp_path / "results"
    results.mkdir()
    predictions = []
    for seed in range(2):
        reported, predicted = write_run(runs / f"seed_{seed}", learned=0.5 - 0.1 * seed)
        predictions.append(predicted)
    subject = np.repeat([f"P{i}" for i in range(6)], 4)
    mean = np.load(runs / "seed_0" / "folds" / "00" / "baselines.npz")["train_mean"]
    both = [Result("train_mean", [mean]), Result("MPCL", predictions)]
    table = make_table(both, reported, subject, subject, "abc", leaky=False)
    files = statistics_text.files_of(table, [], title="", command="x", commit="y")
    (results / "t.csv").write_text(files["table.csv"])
    (results / "t_subjects.csv").write_text(files["subjects.csv"])
    assert check_shipped(results / "t.csv", runs).differences == ()
    shutil.rmtree(runs / "seed_1")
    shutil.copytree(runs / "seed_0", runs / "seed_1")
    found = cells(check_shipped(results / "t.csv", runs).differences)
    assert {"t.csv: MPCL, kl", "t_subjects.csv: MPCL, P0, kl"} <= found
    assert not any("train_mean" in x for x in found)


def test_the_command_says_what_differs(run, capsys):
    assert verify.run([str(run)]) == 0
    assert capsys.readouterr().out.endswith(" values computed again from 24 predictions: 0 differ\n")
    text = (run / "table.csv").read_text()
    value = next(csv.DictReader(io.StringIO(text.partition("\n")[2])))["kl"]
    (run / "table.csv").write_text(text.replace(value, "0.123"))
    assert verify.run([str(run)]) == 1
    assert f"table.csv: uniform, kl: stored 0.123, computed {value}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda f: shutil.rmtree(f), "is no folder; give the folder of a run"),
        (lambda f: (f / "table.csv").write_text("# x\na,b\n1,2\n"), "table.csv: is no table of a run"),
        (lambda f: (f / "folds" / "00" / "baselines.npz").unlink(), "the fold is not finished"),
        (lambda f: (f / "folds" / "00" / "predictions.npz").write_bytes(b"x" * 99), "predictions.npz: is"),
        (lambda f: (f / "data.json").write_text("{}"), "data.json: lacks 'emotions'"),
    ],
)
def test_a_folder_that_cannot_be_verified_is_one_line(run, capsys, damage, message):
    damage(run)
    assert verify.run([str(run)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_the_commit_is_that_of_this_package_whatever_git_is_told(monkeypatch, tmp_path):
    expected = code_version()
    monkeypatch.setenv("GIT_DIR", str(tmp_path))  # as in a hook of another repository
    assert code_version() == expected
    monkeypatch.setenv("PATH", str(tmp_path))  # Git is not installed
    assert code_version() == f"mpcl_jax {__version__}"


def test_the_environment_names_versions_and_neither_host_nor_paths():
    made = environment()
    assert made["numpy"] == np.__version__ and made["python"] == platform.python_version()
    assert {"jax", "flax", "orbax-checkpoint", "commit", "system", "devices"} <= set(made)
    text = json.dumps(made)
    assert platform.node() not in text and "/" not in text
