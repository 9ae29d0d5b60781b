"""The questionnaire file of one WESAD subject (`S<id>_quest.csv`) and the label distributions made of it.

Format: Schmidt et al. 2018 (ICMI), `wesad_readme.pdf`, and the published files: rows packed to the left, times whose
trailing zeros are lost, one answer that is the text `Nan`.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from mpcl_jax.data.issues import Issue, refuse
from mpcl_jax.data.wesad.recording import AGAIN

CONDITIONS = ("Base", "TSST", "Fun", "Medi 1", "Medi 2")

# The items of the adapted PANAS in the order of the file. Angry and Irritated are in the report after TSST only.
ITEMS = (
    "Active", "Distressed", "Interested", "Inspired", "Annoyed", "Strong", "Guilty", "Scared", "Hostile",
    "Excited", "Proud", "Irritable", "Enthusiastic", "Ashamed", "Alert", "Nervous", "Determined",
    "Attentive", "Jittery", "Afraid", "Stressed", "Frustrated", "Happy", "Sad",
)  # fmt: skip
POSITIVE = {
    "Active", "Interested", "Inspired", "Strong", "Excited", "Proud", "Enthusiastic", "Alert", "Determined",
    "Attentive", "Happy",
}  # fmt: skip
DMER9 = (
    "Inspired", "Alert", "Excited", "Enthusiastic", "Determined", "Afraid", "Nervous", "Scared", "Distressed",
)  # fmt: skip
LINES = {"SUBJ": 1, "ORDER": 1, "START": 1, "END": 1, "PANAS": len(CONDITIONS)}
LABEL_SETS = {"panas24": ITEMS, "panas23": ITEMS[:-1], "dmer9": DMER9}


class Questionnaire(NamedTuple):
    """The answers of one subject, one row a condition, in the order in which the conditions happened."""

    subject: str  # "S2"
    conditions: tuple[str, ...]  # the five of CONDITIONS
    times: np.ndarray  # [5, 2] seconds since the chest recorder was started: begin and end of a condition
    ratings: np.ndarray  # [5, 24] float, 1 = not at all ... 5 = extremely, NaN = not answered; order of ITEMS


def parse_questionnaire(text: str, file: str, subject: str = "") -> Questionnaire:
    """Reads the text of a questionnaire file; `file` is its path, for the errors; `subject` "" = any.

    Raises DataError naming the line and the value.
    """
    answers, issues = examine_questionnaire(text, file, subject)
    refuse(issues)
    return answers


def examine_questionnaire(text: str, file: str, subject: str) -> tuple[Questionnaire | None, list[Issue]]:
    """The content of a questionnaire file, None where it cannot be used, and everything for which it cannot."""
    rows = _rows(text)
    issues = [
        Issue(file, "", f"has {len(rows[key])} lines '# {key}'; wanted {count}", AGAIN)
        for key, count in LINES.items()
        if len(rows[key]) != count
    ]
    if issues:
        return None, issues
    (line, *subjects), order, panas = rows["SUBJ"][0], rows["ORDER"][0], rows["PANAS"]
    if subject and subjects[:1] != [subject]:
        what = f"belongs to {', '.join(subjects[:1])!r}; wanted {subject!r}"
        issues.append(Issue(file, f"line {line}", what, "bring the files of one subject together"))

    def attempted(function: Callable, *args: Any) -> Any:
        try:
            return function(*args)
        except ValueError as error:
            issues.append(Issue(file, "", str(error), AGAIN))
            return None

    conditions = attempted(_conditions, order[1:])
    ratings = [attempted(_ratings, *pair) for pair in zip(panas, conditions or (), strict=False)]
    times = attempted(_times, rows["START"][0], rows["END"][0])
    if issues:
        return None, issues
    return Questionnaire(subjects[0], conditions, times, np.array(ratings)), []


def _rows(text: str) -> dict[str, list[list[str]]]:
    """Number and fields of every line, by the word that it begins with."""
    rows = defaultdict(list)
    for number, line in enumerate(text.splitlines(), 1):
        fields = [field.strip() for field in line.split(";")]
        rows[fields[0].lstrip("#").strip().rstrip(":").upper()].append([str(number), *fields[1:]])
    return rows


def _conditions(order: list[str]) -> tuple[str, ...]:
    """The five conditions; what follows them in ORDER (reading blocks) is not in the order of time."""
    conditions = tuple(order[: len(CONDITIONS)])
    if sorted(conditions) != sorted(CONDITIONS):
        begin, wanted = ", ".join(conditions), ", ".join(CONDITIONS)
        raise ValueError(f"'# ORDER' begins with {begin}; wanted each of {wanted} once")
    return conditions


def _ratings(row: list[str], condition: str) -> list[float]:
    """The 24 common answers of a report. The report after TSST has two items more, before the last one."""
    line, answers = row[0], row[1:]
    while answers and not answers[-1]:
        answers = answers[:-1]
    wanted = 26 if condition == "TSST" else 24
    if len(answers) != wanted:
        raise ValueError(f"line {line}: {len(answers)} PANAS answers for {condition}; wanted {wanted}")
    ratings = []
    for item, answer in zip(ITEMS, answers[:23] + answers[-1:], strict=True):
        if answer not in ("", "1", "2", "3", "4", "5") and answer.lower() != "nan":
            raise ValueError(f"line {line}: answer {answer!r} to {item!r} ({condition}); wanted 1 to 5")
        ratings.append(float(answer) if answer else np.nan)
    if np.isnan(ratings).all():
        raise ValueError(f"line {line}: no PANAS item was answered after {condition}")
    return ratings


def seconds(clock: str) -> int:
    """Seconds of a time of the file, which is `minutes.seconds` without trailing zeros: 50.3 is 50:30.

    Raises ValueError if `clock` is not such a text.
    """
    match = re.fullmatch(r"(\d{1,4})(?:\.(\d{1,2}))?", clock)
    within = int((match[2] or "").ljust(2, "0")) if match else 60
    if not match or within >= 60:
        raise ValueError(f"{clock!r} is not minutes.seconds")
    return 60 * int(match[1]) + within


def _times(start: list[str], end: list[str]) -> np.ndarray:
    """Begin and end of the five conditions [5, 2] in seconds, checked to follow each other."""
    try:
        times = np.array([[seconds(a), seconds(b)] for a, b in zip(start[1:6], end[1:6], strict=True)])
    except ValueError as error:
        raise ValueError(f"line {start[0]} or {end[0]} (START, END): {error}") from error
    if times.shape != (len(CONDITIONS), 2) or (np.diff(times.ravel()) <= 0).any():
        raise ValueError(
            f"lines {start[0]} and {end[0]}: START and END must give five conditions that follow each other "
            "in time, in the order of '# ORDER'"
        )
    return times


def distributions(ratings: np.ndarray, emotions: tuple[str, ...]) -> np.ndarray:
    """Label distributions [R, C] of reports [R, 24]: the rating of an emotion over the sum of all C of them.

    A missing answer (one in the published files) becomes the median of the other answers of the same report,
    rounded down. No other report is used, so that no report of a test part depends on one of a training part.
    """
    usual = np.floor(np.nanmedian(ratings, axis=1, keepdims=True))
    chosen = np.where(np.isnan(ratings), usual, ratings)[:, [ITEMS.index(name) for name in emotions]]
    return chosen / chosen.sum(1, keepdims=True)
