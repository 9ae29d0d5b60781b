"""The shape of the package: which way imports point, how long things are, what is never used.

A new module needs a place in ROWS, as far up as its imports allow.
"""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mpcl_jax"

# A module imports only from rows above its own.
ROWS = (
    # What everybody speaks of: settings, the data contract, the measures.
    "config.fields types labels metrics evaluate.statistics config.neighbours system.os_errors "
    "evaluate.number_text",
    "config.data config.model system.output system.paths system.errors",
    "config.schema system.storage",
    "config.resolve",
    # Files into arrays.
    "config.command_line data.io.cache data.features.windows data.io.pickle_values "
    "data.io.mat_reader data.io.npz_reader data.wesad.questionnaire "
    "data.wesad.label "
    "data.splits.descriptions",
    "data.splits.manifest data.normalise data.simulate data.features.cardiac "
    "data.features.features data.io.pickle_reader data.io.tree_file "
    "data.validate.issues",
    "data.splits.protocols data.io.safe_read data.io.guarded_child system.checksums",
    # Data sets.
    "data.folder.files data.folder.numbers",
    "data.dmer.files data.folder.meta data.wesad.load",
    "data.dmer.features data.folder.between",
    "data.folder.load",
    "data.dmer.signals",
    "data.dmer.load",
    "data.pipeline data.validate.folder data.validate.wesad data.validate.dmer",
    # Looking inside a run, from its files.
    "train.fold_inspection train.arrays",
    "runs.memory",
    "report.slots runs.read_run",
    "report.compare report.explanation runs.read_tested evaluate.audit.evidence evaluate.audit.finding",
    "evaluate.audit.training evaluate.audit.rows",
    "evaluate.audit.state",
    "evaluate.audit.verdict",
    "evaluate.agreement",
    "evaluate.leaderboard",
    "report.plots.style",
    "report.plots.memory report.plots.results report.plots.protocols report.plots.comparisons "
    "report.plots.ranking",
    "report.plots.browser_svg",
    "report.pictures",
    "report.content",
    "report.page",
    # The model; from here on JAX.
    "model.dropout model.dense",
    "model.personal_memory",
    "model.associative_memory model.encoders",
    "model.fusion model.distribution_head",
    "model.prototypes model.relation_distillation",
    "model.cooccurrence",
    "model.mpcl",
    "model.losses model.recall",
    # Training.
    "train.state train.processes train.ahead",
    "train.interrupt",
    "train.augment",
    "train.step train.progress train.devices train.lock train.changes train.sizes",
    "train.slots train.selection train.surroundings train.read_back",
    "train.checkpoint train.run_folder train.epoch",
    "train.stream",
    "train.folds",
    "train.evaluate train.skips train.examine",
    # What a run is compared with.
    "train.run",
    "train.loop baselines.choices",
    "baselines.selection",
    "baselines.network baselines.regressors baselines.maximum_entropy",
    "baselines.mlp baselines.transformer baselines.means baselines.late_fusion evaluate.ranking",
    "baselines.emotion_dict baselines.helo baselines.budget",
    "baselines.registry evaluate.table_text",
    "evaluate.statistics_text evaluate.jobs.workers",
    "evaluate.comparison evaluate.verification train.environment evaluate.jobs.pieces",
    "evaluate.jobs.piece_work",
    "evaluate.jobs.subsets",
    "evaluate.jobs.table_run",
    # A user's way in.
    "evaluate.experiment runs.predict",
    "cli.train cli.inspect cli.explain cli.report cli.check_data cli.verify "
    "evaluate.jobs.collect cli.audit cli.reproduce",
    "main",
)
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row.split()}
JAX_FREE_LATE = [
    "train.lock",
    "cli.train",
    "cli.check_data",
    "cli.verify",
    "cli.audit",
    "evaluate.verification",
    "evaluate.jobs.workers",
    "evaluate.jobs.pieces",
    "cli.reproduce",
]
WITHOUT_JAX = [name for name in ROW_OF if ROW_OF[name] < ROW_OF["model.dropout"]] + JAX_FREE_LATE

# The only imports inside functions: behind the checks of settings, and of an optional dependency.
LATE_IMPORTS = {
    "cli.train": "mpcl_jax.evaluate.experiment",
    "evaluate.experiment": "tensorboardX",
    "report.plots.memory": "umap",
    "baselines.regressors": "sklearn",
    "baselines.selection": "sklearn",
}
# Python that names or runs other Python, and who may: the guarded child, told by its parent; config files.
RUNS_CODE = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "importlib", "runpy", "imp"}
# environment: `importlib.metadata`, which reads the versions of what is installed; report.page: its own templates by
# `importlib.resources`.
MAY_RUN_CODE = {
    "data.io.guarded_child": {"importlib"},
    "config.command_line": {"runpy"},
    "config.neighbours": {"importlib"},
    "train.environment": {"importlib"},
    "report.page": {"importlib"},
}
# Who may catch every Exception: each passes it on in words, at a border to code that is not ours or to processes.
CATCH_ALL = {"data.io.guarded_child", "config.command_line", "train.processes"}


def name_of(path: pathlib.Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {name_of(path): path for path in FILES if path.name != "__init__.py"}
TREES = {path: ast.parse(path.read_text()) for path in FILES}


def imported(node: ast.AST) -> list[str]:
    """Full names that an import statement binds, modules of ours as far as they go."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports name the whole path"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def ours(full: str) -> str | None:
    """ "data.folder" of "mpcl_jax.data.folder.load.load"; None for what is no module of ours."""
    if not full.startswith("mpcl_jax."):
        return None
    name = full.removeprefix("mpcl_jax.")
    return next((n for n in (name, name.rpartition(".")[0]) if n in MODULES), None)


def test_every_module_has_a_row_and_every_row_its_modules():
    assert set(MODULES) == set(ROW_OF), "modules and ROWS differ"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_upwards(module):
    for node in ast.walk(TREES[MODULES[module]]):
        for full in imported(node):
            target = ours(full)
            if target is None:
                assert full in ("mpcl_jax.__version__",) or not full.startswith("mpcl_jax"), full
            else:
                assert ROW_OF[target] < ROW_OF[module], f"line {node.lineno}: {module} imports {target}"


def functions_of(tree: ast.AST):
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_imports_in_functions_but_the_documented(path):
    module = name_of(path)
    inside = [x for f in functions_of(TREES[path]) for n in ast.walk(f) for x in imported(n)]
    assert all(x.startswith(LATE_IMPORTS.get(module, "nothing")) for x in inside), inside


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_short(path):
    assert len(path.read_text().splitlines()) < 300
    for function in functions_of(TREES[path]):
        assert function.end_lineno - function.lineno + 1 < 60, function.name


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_runs_code_from_elsewhere(path):
    allowed = MAY_RUN_CODE.get(name_of(path), set())
    for node in ast.walk(TREES[path]):
        for full in imported(node):
            assert full.split(".")[0] not in RUNS_CODE - allowed, f"line {node.lineno}: {full}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec", "compile", "__import__"), f"line {node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert node.value.value is False, f"line {node.value.lineno}: allow_pickle"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_error_is_swallowed(path):
    for handler in (n for n in ast.walk(TREES[path]) if isinstance(n, ast.ExceptHandler)):
        where = f"line {handler.lineno}"
        assert handler.type is not None, f"{where}: except without a type"
        caught = ast.unparse(handler.type)
        assert "BaseException" not in caught, where
        assert caught != "Exception" or name_of(path) in CATCH_ALL, f"{where}: except Exception"
        assert not all(isinstance(x, ast.Pass) for x in handler.body), f"{where}: except …: pass"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_is_public_says_what_it_is(path):
    tree = TREES[path]
    assert ast.get_docstring(tree), "module"
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    public += [
        n for c in public if isinstance(c, ast.ClassDef) for n in c.body if isinstance(n, ast.FunctionDef)
    ]
    for node in public:
        if not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")), ids=lambda path: path.stem)
def test_every_config_says_how_it_is_started(path):
    assert f"python -m mpcl_jax.main --config configs/{path.name}" in ast.get_docstring(
        ast.parse(path.read_text())
    )


WATCHED_IMPORT = """
import os, sys
seen = []
def watch(event, args):
    if event.split(".")[0] in ("socket", "subprocess", "shutil") or event in ("os.system", "os.mkdir", "os.remove"):
        seen.append((event, str(args)))
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        seen.append((event, str(args)))
sys.addaudithook(watch)
import mpcl_jax.cli.train
assert "jax" not in sys.modules, "mpcl_jax.cli.train imports JAX"
assert not seen, seen
open(os.devnull, "w").close()
assert len(seen) == 1, "the watch sees nothing"
"""


def in_new_process(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_is_imported_without_jax_sockets_or_files():
    ended = in_new_process(WATCHED_IMPORT)
    assert ended.returncode == 0, ended.stderr


def test_data_settings_and_measures_do_not_import_jax():
    lines = [f"import mpcl_jax.{m}; assert 'jax' not in sys.modules, {m!r}" for m in WITHOUT_JAX]
    ended = in_new_process("import sys\n" + "\n".join(lines))
    assert ended.returncode == 0, ended.stderr
