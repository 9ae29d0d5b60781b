"""The questionnaire file of one WESAD participant (`S<id>_quest.csv`) and the label distributions made of it.

Format: Schmidt et al. 2018 (ICMI), `wesad_readme.pdf`, and what the published files really hold: rows packed
to the left, times whose trailing zeros are lost, one answer that is the text `Nan`.
"""

import re
from typing import NamedTuple

import numpy as np

from mpcl_jax.types import DataFileError

CONDITIONS = ("Base", "TSST", "Fun", "Medi 1", "Medi 2")

# The items of the adapted PANAS, in the order of the file, without Angry and Irritated (asked after TSST only).
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
LABEL_SETS = {"panas24": ITEMS, "panas23": ITEMS[:-1], "dmer9": DMER9}


class Questionnaire(NamedTuple):
    """What one participant answered, one row a condition, in the order in which the conditions happened."""

    subject: str  # "S2"
    conditions: tuple[str, ...]  # the five of CONDITIONS
    times: np.ndarray  # [5, 2] seconds since the chest recorder was started: begin and end of a condition
    ratings: np.ndarray  # [5, 24] float, 1 = not at all ... 5 = extremely, NaN = not answered; order of ITEMS


def parse_questionnaire(text: str, file: str) -> Questionnaire:
    """Reads the text of a questionnaire file; `file` is its path, for the errors.

    Raises DataFileError naming the line and the value.
    """
    rows = _rows(text)
    for key in ("SUBJ", "ORDER", "START", "END"):
        if len(rows.get(key, [])) != 1:
            raise DataFileError(file, f"has {len(rows.get(key, []))} lines '# {key}'; wanted exactly one")
    conditions = _conditions(rows["ORDER"][0][1:], file)
    panas = rows.get("PANAS", [])
    if len(panas) != len(CONDITIONS):
        raise DataFileError(file, f"has {len(panas)} lines '# PANAS'; wanted five, one for each condition")
    ratings = [_ratings(row, condition, file) for row, condition in zip(panas, conditions, strict=True)]
    times = _times(rows["START"][0], rows["END"][0], file)
    return Questionnaire(rows["SUBJ"][0][1], conditions, times, np.array(ratings))


def _rows(text: str) -> dict[str, list[list[str]]]:
    """Number and fields of every line, by what the line begins with."""
    rows: dict[str, list[list[str]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = [field.strip() for field in line.split(";")]
        key = fields[0].lstrip("#").strip().rstrip(":").upper()
        rows.setdefault(key, []).append([str(number), *fields[1:]])
    return rows


def find_issues(text: str, file: str, subject: str) -> list[DataFileError]:
    """Everything for which `parse_questionnaire` would refuse the file of `subject`, and not only the first."""
    found: list[DataFileError] = []
    rows = _rows(text)
    for key, count in (("SUBJ", 1), ("ORDER", 1), ("START", 1), ("END", 1), ("PANAS", len(CONDITIONS))):
        if len(rows.get(key, [])) != count:
            what = f"has {len(rows.get(key, []))} lines '# {key}'; wanted {count}"
            found.append(DataFileError(file, what))
    conditions = ()
    try:
        if "ORDER" in rows:
            conditions = _conditions(rows["ORDER"][0][1:], file)
    except DataFileError as error:
        found.append(error)
    if "SUBJ" in rows and rows["SUBJ"][0][1:2] != [subject]:
        found.append(
            DataFileError(
                file, f"line {rows['SUBJ'][0][0]}: belongs to {rows['SUBJ'][0][1:2]}; wanted {subject!r}"
            )
        )
    for row, condition in zip(rows.get("PANAS", []), conditions, strict=False):
        try:
            _ratings(row, condition, file)
        except DataFileError as error:
            found.append(error)
    try:
        if {"START", "END"} <= set(rows):
            _times(rows["START"][0], rows["END"][0], file)
    except DataFileError as error:
        found.append(error)
    return found


def _conditions(order: list[str], file: str) -> tuple[str, ...]:
    """The five conditions; what follows them in ORDER (reading blocks) is not in the order of time."""
    conditions = tuple(order[: len(CONDITIONS)])
    if sorted(conditions) != sorted(CONDITIONS):
        raise DataFileError(
            file,
            f"'# ORDER' begins with {', '.join(conditions)}; wanted each of {', '.join(CONDITIONS)} once",
        )
    return conditions


def _ratings(row: list[str], condition: str, file: str) -> list[float]:
    """The 24 common answers of a report. After TSST two items more were asked, before the last one."""
    line, answers = row[0], row[1:]
    while answers and not answers[-1]:
        answers = answers[:-1]
    wanted = 26 if condition == "TSST" else 24
    if len(answers) != wanted:
        raise DataFileError(
            file, f"line {line}: {len(answers)} PANAS answers for {condition}; wanted {wanted}"
        )
    common = answers[:23] + answers[-1:]
    ratings = []
    for item, answer in zip(ITEMS, common, strict=True):
        if answer not in ("", "1", "2", "3", "4", "5") and answer.lower() != "nan":
            raise DataFileError(
                file, f"line {line}: answer {answer!r} to {item!r} ({condition}); wanted 1 to 5"
            )
        ratings.append(float(answer) if answer else np.nan)
    if np.isnan(ratings).all():
        raise DataFileError(file, f"line {line}: no PANAS item was answered after {condition}")
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


def _times(start: list[str], end: list[str], file: str) -> np.ndarray:
    """Begin and end of the five conditions [5, 2] in seconds, checked to follow each other."""
    try:
        times = np.array([[seconds(a), seconds(b)] for a, b in zip(start[1:6], end[1:6], strict=True)])
    except ValueError as error:
        raise DataFileError(file, f"line {start[0]} or {end[0]} (START, END): {error}") from error
    if times.shape != (len(CONDITIONS), 2) or (np.diff(times.ravel()) <= 0).any():
        raise DataFileError(
            file,
            f"lines {start[0]} and {end[0]}: START and END must give five conditions that follow each other "
            "in time, in the order of '# ORDER'",
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
