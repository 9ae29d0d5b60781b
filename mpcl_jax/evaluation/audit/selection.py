"""How the epoch and the settings were chosen, and how often the test rows were evaluated."""

from mpcl_jax.evaluation.audit.evidence import Evidence, Finding, amber, green, red
from mpcl_jax.evaluation.leaderboard import METHOD


def check_selection(evidence: Evidence) -> list[Finding]:
    """The epoch was chosen by the validation KL or is the last one, as the settings say, and not by the test."""
    found, train = [], evidence.config.train
    for fold, log in zip(evidence.split.folds, evidence.logs, strict=True):
        if seen := sorted({name for line in log for name in line if "test" in name}):
            found.append(
                red("selection", f"{fold.name}: its training log has test measures: {', '.join(seen)}")
            )
        epoch = evidence.choices.get(fold.name, {}).get(METHOD, {}).get("choice", {}).get("epoch")
        curve = {line["epoch"]: line.get("validation_kl") for line in log if "epoch" in line}
        known = {at: value for at, value in curve.items() if value is not None}
        if train.select == "inner":
            wanted, reason = max(curve, default=epoch), "the training log ends at epoch"
        elif train.select == "best" and known:
            wanted, reason = min(known, key=lambda at: (known[at], at)), "validation KL is lowest at epoch"
        else:
            wanted, reason = train.epochs, "the settings name epoch"
        if epoch is not None and epoch != wanted:
            found.append(red("selection", f"{fold.name}: epoch {epoch} was chosen, {reason} {wanted}"))
    rules = {"best": "validation KL", "inner": "KL on inner folds of the training part"}
    rule = rules.get(train.select, "the number of epochs of the settings")
    return found or [green("selection", f"epochs were chosen by {rule}")]


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
