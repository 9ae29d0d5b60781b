"""All checks of a run, and their result as JSON and as text."""

import json
import pathlib
from typing import NamedTuple

from mpcl_jax.data.pipeline import content_hash
from mpcl_jax.data.splits.descriptions import kind_of
from mpcl_jax.data.splits.manifest import read_manifest
from mpcl_jax.evaluation.audit import rows, written
from mpcl_jax.evaluation.audit.evidence import RED, Evidence, Finding, amber, green, read_evidence, red
from mpcl_jax.evaluation.number_text import count_of
from mpcl_jax.runs.read_run import COLOURS, read_json
from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataError, Recordings

SHOWN = 4  # missing files that a finding names
LEAKY = "LEAKY: windows of the test trials are trained on, so this is no result for new data"


class Audit(NamedTuple):
    """The result of the audit of one run."""

    colour: str  # the worst of the findings
    findings: tuple[Finding, ...]


def audit(folder: pathlib.Path, recordings: Recordings) -> Audit:
    """Audits a run and its `recordings`; one that is not finished is amber at least.

    A manifest that breaks its protocol, was edited or is of other recordings is red, and ends the audit. Raises
    DataError naming the file that is missing or damaged.
    """
    file = user_path(folder) / "manifest.json"
    read_json(file)
    try:
        split = read_manifest(file, recordings)
    except DataError as error:
        return Audit(RED, (red("manifest", error.reason),))
    evidence = read_evidence(file.parent, recordings, split)
    checks = (
        check_finished,
        check_manifest,
        rows.check_raw_samples,
        rows.check_copies,
        rows.check_neighbours,
        rows.check_labels_inside,
        rows.check_standardisation,
        check_evaluations,
        written.check_written_trials,
    )
    findings = tuple(finding for check in checks for finding in check(evidence))
    return Audit(min((x.colour for x in findings), key=COLOURS.index), findings)


def check_finished(evidence: Evidence) -> list[Finding]:
    """Every fold was tested and the results were written. Empty for a finished run."""
    folds = range(len(evidence.split.folds))
    of_folds = [f"folds/{k:02d}/{name}.npz" for k in folds for name in ("predictions", "baselines")]
    files = ["predictions.csv", "table.csv", *of_folds]
    missing = [name for name in files if not (evidence.folder / name).exists()]
    if not missing:
        return []
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    shown = f"{', '.join(missing[:SHOWN])}{more}"
    return [amber("run", f"it is not finished: {shown} missing; start the command of the run again")]


def check_manifest(evidence: Evidence) -> list[Finding]:
    """The protocol is not the leaky one; the split is that of the settings, the recordings are unchanged."""
    found, split, args = [], evidence.split, evidence.config.protocol
    if split.leaky:
        found.append(red("protocol", LEAKY))
    if evidence.data.get("split_sha256", split.sha256) != split.sha256:
        found.append(red("manifest", "it is not the split that the run started with"))
    if not args.manifest and args.kind != kind_of(split.protocol):
        says = f"config.protocol.kind is {args.kind!r}, the manifest has {split.protocol!r}"
        found.append(red("manifest", says))
    if content_hash(evidence.recordings) != evidence.data.get("sha256"):
        found.append(amber("manifest", "the recordings have changed since the run"))
    keeps = f"{split.protocol}: {split.sentence}"
    return found or [green("manifest", f"unchanged, {count_of(len(split.folds), 'folds')}, {keeps}")]


def check_evaluations(evidence: Evidence) -> list[Finding]:
    """Every choice was saved before the test measures were computed, and the test rows were evaluated once."""
    check = "test evaluations"
    if not evidence.choices:
        return [amber(check, "no selection.json: the order of choices and test evaluations is unknown")]
    found, repeated = [], []
    for fold in evidence.split.folds:
        methods = evidence.choices.get(fold.name, {})
        late = [name for name, x in methods.items() if x["looked"] and x["looked"] < x["chosen"]]
        if late:
            found.append(red(check, f"{fold.name}: {', '.join(late)} chosen after a test evaluation"))
        repeated += [f"{fold.name}: {name}" for name, x in methods.items() if x["earlier"]]
    if repeated:
        says = f"{len(repeated)} choices were changed after a test evaluation and evaluated again"
        found.append(amber(check, says, repeated))
    return found or [green(check, "every choice was saved before the test evaluation; one evaluation")]


def to_json(found: Audit) -> str:
    """The text of audit.json."""
    document = {"colour": found.colour, "findings": [finding._asdict() for finding in found.findings]}
    return json.dumps(document, indent=1) + "\n"


def to_text(found: Audit) -> str:
    """Every finding, those that are not green first, and the verdict."""
    lines = []
    for finding in sorted(found.findings, key=lambda one: COLOURS.index(one.colour)):
        lines.append(f"{finding.colour.upper():5s}  {finding.check}: {finding.says}")
        if finding.ids:
            lines.append(f"       {', '.join(finding.ids)}")
    return "\n".join([*lines, to_line(found)])


def to_line(found: Audit) -> str:
    """The verdict in one line."""
    worst = [finding for finding in found.findings if finding.colour == found.colour]
    checks = len({finding.check for finding in found.findings})
    if found.colour == "green":
        return f"audit  green: {checks} checks, no leak found"
    more = f" (and {len(worst) - 1} more)" if len(worst) > 1 else ""
    colour = found.colour.upper() if found.colour == RED else found.colour
    return f"audit  {colour}: {worst[0].check}: {worst[0].says}{more}"
