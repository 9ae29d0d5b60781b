"""The questionnaire parser on a file with every oddity of the published ones."""

import numpy as np
import pytest
from wesad_fixture import answers

from mpcl_jax.data.wesad.questionnaire import DMER9, ITEMS, distributions, parse_questionnaire, seconds
from mpcl_jax.types import DataError

# Written by hand: a colon after Subj, an integer time (28), a lost zero (50.3), Medi 2 before Medi 1, an answer
# that is the text Nan, reading blocks after the five conditions, and 26 answers after TSST (Angry 5 and
# Irritated 4 before Sad 1).
TEXT = "\r\n".join(
    [
        "# Subj:;S14;;;;;;;;;;;;;;;;;;;;;;;;;",
        "# ORDER;Base;TSST;Medi 2;Fun;Medi 1;bRead;sRead;fRead;;;;;;;;;;;;;;;;;;",
        "# START;2;33.18;62.22;73.24;84.29;22.14;49.47;80.36;;;;;;;;;;;;;;;;;;",
        "# END;28;50.3;69.1;79.56;91.26;23.37;51.02;81.5;;;;;;;;;;;;;;;;;;",
        ";;;;;;;;;;;;;;;;;;;;;;;;;;",
        "# PANAS;1;1;4;3;1;3;1;1;1;4;1;1;4;1;4;2;4;4;1;1;2;1;3;2;;",
        "# PANAS;3;2;4;1;3;3;1;2;1;4;2;4;3;1;5;4;4;4;2;3;3;3;2;5;4;1",
        "# PANAS;1;1;3;1;1;3;1;1;1;1;1;1;1;1;2;Nan;3;3;1;1;1;1;4;1;;",
        "# PANAS;1;1;3;3;1;2;1;1;1;3;1;1;1;1;3;1;1;3;1;1;2;1;2;1;;",
        "# PANAS;1;1;3;2;1;2;1;1;1;2;1;1;2;1;2;1;2;2;1;1;1;1;4;1;;",
        ";;;;;;;;;;;;;;;;;;;;;;;;;;",
        "# STAI;4;2;1;3;1;2;;;;;;;;;;;;;;;;;;;;",
        "",
    ]
)


def test_every_oddity_of_the_published_files():
    read = parse_questionnaire(TEXT, "quest.csv")
    again = parse_questionnaire("\n".join(line.rstrip(";") for line in TEXT.splitlines()), "quest.csv")
    np.testing.assert_array_equal(read.ratings, again.ratings)
    assert read.subject == "S14"
    assert read.conditions == ("Base", "TSST", "Medi 2", "Fun", "Medi 1")
    # 2 = 2:00, 28 = 28:00, 33.18 = 33:18, 50.3 = 50:30 (not 50:03), 69.1 = 69:10.
    assert read.times[:3].tolist() == [[120, 1680], [1998, 3030], [3742, 4150]]
    assert read.ratings.shape == (5, 24)
    sad, happy = ITEMS.index("Sad"), ITEMS.index("Happy")
    assert read.ratings[:, sad].tolist() == [2, 1, 1, 1, 1]  # not the 5 of Angry after TSST
    assert read.ratings[:, happy].tolist() == [3, 2, 4, 2, 4]
    missing = np.argwhere(np.isnan(read.ratings)).tolist()
    assert missing == [[2, ITEMS.index("Nervous")]]


def test_clock():
    """Minutes and seconds, of which a spreadsheet may have cut the last zero."""
    read = [seconds(clock) for clock in ("7.08", "50.3", "77.1", "28", "100.15", "0.5")]
    assert read == [428, 3030, 4630, 1680, 6015, 50]
    for clock in ("", "7,08", "7.60", "7.083", "-7.08", "7.8.1", "nan", "1e2"):
        with pytest.raises(ValueError, match="minutes.seconds"):
            seconds(clock)


def test_distribution_is_rating_over_sum():
    ratings = np.ones((1, 24))
    ratings[0, ITEMS.index("Alert")] = 5  # sum 28 over all 24, 27 without Sad, 13 over the nine of DMER
    for emotions, total in ((ITEMS, 28), (ITEMS[:-1], 27), (DMER9, 13)):
        labels = distributions(ratings, emotions)
        assert labels.shape == (1, len(emotions))
        assert labels[0, emotions.index("Alert")] == pytest.approx(5 / total)
        assert labels[0, emotions.index("Scared")] == pytest.approx(1 / total)
        assert labels.sum() == pytest.approx(1)


def test_missing_answer_is_the_median_of_its_own_report():
    ratings = np.full((2, 24), 1.0)
    ratings[0, :13] = 4.0  # 13 fours, 10 ones, one missing: median 4
    ratings[:, ITEMS.index("Nervous")] = np.nan
    nervous = ITEMS.index("Nervous")
    labels = distributions(ratings, ITEMS)
    assert labels[0, nervous] == pytest.approx(4 / (13 * 4 + 10 + 4))
    assert labels[1, nervous] == pytest.approx(1 / 24)  # the other report is not used
    even = np.full((1, 24), 1.0)
    even[0, :11], even[0, 11:22], even[0, 22:] = 2.0, 3.0, np.nan  # 11 twos, 11 threes: 2.5, rounded down
    assert distributions(even, ITEMS)[0, 23] == pytest.approx(2 / (22 + 33 + 4))


def changed(number, old, new):
    """The text of a sound file with `old` replaced by `new` in line `number` (from 1)."""
    rows = answers()
    assert old in rows[number - 1]
    rows[number - 1] = rows[number - 1].replace(old, new, 1)
    return "\r\n".join(rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 lines '# SUBJ'"),
        (changed(2, "# ORDER", "# PLAN"), "0 lines '# ORDER'"),
        (changed(6, "# PANAS", "# PANIC"), "4 lines '# PANAS'; wanted 5"),
        (changed(6, ";1;", ";1.5;"), "answer '1.5'"),
        (changed(6, ";1;", ";x;"), "answer 'x'"),
        (changed(7, ";5;4;2", ";2;;"), "line 7: 24 PANAS answers for TSST; wanted 26"),
        (changed(8, ";2;;", ";2;2;"), "line 8: 25 PANAS answers for Medi 1; wanted 24"),
        (changed(3, "7.08", "7,08"), r"line 3 or 4 \(START, END\): '7,08' is not minutes.seconds"),
        ("\n".join([*answers()[:5], "# PANAS" + ";Nan" * 24, *answers()[6:]]), "line 6: no PANAS item"),
    ],
)
def test_bad_files_are_refused_by_line_and_value(text, words):
    with pytest.raises(DataError, match=words) as caught:
        parse_questionnaire(text, "S2_quest.csv")
    assert caught.value.file == "S2_quest.csv"
