"""All checks of a run, and their answer as JSON and as text."""

import hashlib
import json
import pathlib
from typing import Any, NamedTuple

from mpcl_jax.data.pipeline import content_hash
from mpcl_jax.evaluate.audit import rows, state, training
from mpcl_jax.evaluate.audit.evidence import Evidence, canonical, read_evidence
from mpcl_jax.evaluate.audit.finding import RED, Finding, amber, colour_of, green, red
from mpcl_jax.types import Recordings

LEAKY = "LEAKY: windows of the tested trials are trained on, so these are no results for new data"


class Audit(NamedTuple):
    """What the audit of one run says."""

    colour: str  # the worst of the findings
    findings: tuple[Finding, ...]


def audit(folder: pathlib.Path, recordings: Recordings) -> Audit:
    """Audits a finished run, whose `recordings` are those it was made of.

    Raises DataFileError naming the file that is missing or damaged.
    """
    evidence = read_evidence(folder, recordings)
    findings = [
        *check_protocol(evidence),
        *check_manifest(evidence),
        *rows.check_groups(evidence),
        *rows.check_raw_samples(evidence),
        *rows.check_copies(evidence),
        *rows.check_neighbours(evidence),
        *rows.check_labels_inside(evidence),
        *rows.check_data(evidence),
        *training.check_statistics(evidence),
        *training.check_train_mean(evidence),
        *training.check_exact_reports(evidence),
        *training.check_selection(evidence),
        *training.check_sealed(evidence),
        *state.check_state(evidence),
        *training.check_predictions(evidence),
    ]
    return Audit(colour_of(findings), tuple(findings))


def check_protocol(evidence: Evidence) -> list[Finding]:
    """The protocol holds something out that a result can be about."""
    protocol = evidence.manifest["protocol"]
    if protocol == "window80":
        return [red("protocol", LEAKY)]
    return [green("protocol", f"{protocol}: {evidence.manifest.get('sentence', '')}".rstrip(": "))]


def check_manifest(evidence: Evidence) -> list[Finding]:
    """The split is the signed one, of these recordings, and the one that the settings ask for."""
    found, manifest = [], evidence.manifest
    if hashlib.sha256(canonical(manifest).encode()).hexdigest() != manifest.get("sha256"):
        found.append(red("manifest", "its ids do not fit its sha256: it was edited after it was made"))
    if evidence.data.get("split_sha256", manifest.get("sha256")) != manifest.get("sha256"):
        found.append(red("manifest", "it is not the split that the run began with"))
    if evidence.unknown:
        says = f"{len(evidence.unknown)} windows are known to the manifest or to the recordings alone"
        found.append(red("manifest", says, evidence.unknown))
    args = evidence.config.protocol
    if not args.manifest and args.kind != manifest["protocol"].partition("(")[0]:
        found.append(
            red("manifest", f"config.protocol.kind is {args.kind!r}, it says {manifest['protocol']!r}")
        )
    if content_hash(evidence.recordings) != evidence.data.get("sha256"):
        found.append(amber("manifest", "the recordings are not those of the run: they were changed since"))
    return found or [
        green("manifest", f"signed and unchanged, {len(evidence.folds)} fold(s), of these recordings")
    ]


def to_document(found: Audit) -> dict[str, Any]:
    """For audit.json."""
    return {"colour": found.colour, "findings": [finding._asdict() for finding in found.findings]}


def to_json(found: Audit) -> str:
    """The text of audit.json."""
    return json.dumps(to_document(found), indent=1) + "\n"


def to_text(found: Audit) -> str:
    """Every finding, those that are not green first, and the verdict."""
    order = ("red", "amber", "green")
    lines = []
    for finding in sorted(found.findings, key=lambda one: order.index(one.colour)):
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
