"""The kinds of protocols, and what a fold holds out in words."""

import re

import numpy as np

from mpcl_jax.config.data import WRITTEN
from mpcl_jax.types import Recordings

SENTENCES = {
    "loso": "leave one subject out: tested on an unseen subject",
    "subject_kfold": "subjects held out: tested on unseen subjects",
    "fixed_48_12_13": "the 73 subjects of DMER in three fixed parts, drawn once because the 48, 12 and 13 of the "
    "literature are not published: tested on unseen subjects",
    "calibrated": "leave one subject out, with {n} labelled calibration {trials} of the tested subject; the test "
    "trials are the same for every n",
    "trial_kfold": "whole trials held out: known subjects, unseen trials",
    "stimulus_kfold": "stimuli held out: known subjects, unseen stimuli",
    "subject_x_stimulus": "subjects and stimuli held out: unseen subjects on unseen stimuli",
    "sequential": "subjects held out: each trial of an unseen subject is predicted after all its earlier trials "
    "were written into the memory",
    "few_shot": "subjects held out: later trials of an unseen subject are predicted after its first {n} {trials} "
    "were written into the memory; the test trials are the same for every n",
    "window80": "LEAKY: random windows held out, other windows of the same trials (same label) are trained on",
}
# Ids that never lie in two parts; validation rows are drawn in groups of the first. Of "calibrated", some trials
# of the tested subject are trained on; `check_split` counts them.
OF_SUBJECTS = ("loso", "subject_kfold", "fixed_48_12_13", "calibrated", *WRITTEN)
APART = dict.fromkeys(OF_SUBJECTS, ("subject", "trial")) | {
    "trial_kfold": ("trial",),
    "stimulus_kfold": ("stimulus", "trial"),
    "subject_x_stimulus": ("subject", "stimulus", "trial"),
    "window80": (),
}
WITH_N = re.compile(
    r"(calibrated|few_shot)\((\d{1,4})\)"
)  # how a `Split` names these protocols, with their n


def kind_of(protocol: str) -> str:
    """The key of `SENTENCES` of a protocol as a `Split` names it; "" for any other text."""
    if named := WITH_N.fullmatch(protocol):
        return named[1]
    return protocol if protocol in SENTENCES and "{n}" not in SENTENCES[protocol] else ""


def n_of(protocol: str) -> int | None:
    """The n of "calibrated(n)" and "few_shot(n)"; None for other protocols."""
    named = WITH_N.fullmatch(protocol)
    return int(named[2]) if named else None


def sentence_of(protocol: str) -> str:
    """What a protocol, written as in a `Split`, holds out."""
    count = n_of(protocol) or 0
    return SENTENCES[kind_of(protocol)].format(n=count, trials="trial" if count == 1 else "trials")


def held_apart(recordings: Recordings, protocol: str) -> dict[str, np.ndarray]:
    """The ids [N] that never lie in two parts, by name (`APART`)."""
    return {name: getattr(recordings, name) for name in APART[kind_of(protocol)]}


def calibration_trials(recordings: Recordings, train: np.ndarray, test: np.ndarray) -> list[str]:
    """Trials of the tested subjects among the rows `train`, in the order of their names."""
    own = np.isin(recordings.subject[train], np.unique(recordings.subject[test]))
    return in_order(recordings.trial[train][own])


def fold_sentence(recordings: Recordings, protocol: str, train: np.ndarray, test: np.ndarray) -> str:
    """What a fold holds out: subjects, trials, stimuli, with their names. `train`, `test`: row numbers."""
    kind, subjects = kind_of(protocol), in_order(recordings.subject[test])
    trials = counted(len(set(recordings.trial[test])), "trial", "trials")
    if kind == "window80":
        published = recordings.published_test
        drawn = published is None or not np.array_equal(np.flatnonzero(published), test)
        how = "drawn at random" if drawn else "as published"
        return f"held out (LEAKY): {len(test)} windows of {trials}, {how}"
    of = f"subject {subjects[0]}" if len(subjects) == 1 else f"{len(subjects)} subjects ({listed(subjects)})"
    if kind == "trial_kfold":
        return f"held out: {trials} of {of}"
    if "stimulus" in APART[kind]:
        stimuli = in_order(recordings.stimulus[test])
        what = f"{counted(len(stimuli), 'stimulus', 'stimuli')} ({listed(stimuli)})"
        of = what if kind == "stimulus_kfold" else f"{of} on {what}"
    text = f"held out: {of}, {trials}"
    if kind == "calibrated":
        known = calibration_trials(recordings, train, test)
        named = f" ({listed(known)})" if known else ""
        text += f"; trained on: {counted(len(known), 'labelled trial', 'labelled trials')} more{named}"
    if kind == "few_shot":
        text += f"; written: the first {counted(n_of(protocol), 'trial', 'trials')} of each subject"
    return text


def counted(n: int, one: str, many: str) -> str:
    """ "1 trial", "3 trials"."""
    return f"{n} {one if n == 1 else many}"


def listed(names, most: int = 6) -> str:
    """The first few of the distinct `names`, in order."""
    names = in_order(names)
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def in_order(names) -> list[str]:
    """Distinct names with numbers in numeric order: S2 before S10."""

    def key(name):
        return [int(x) if x.isdecimal() else x for x in re.split(r"(\d+)", name)], name

    return sorted({str(name) for name in names}, key=key)
