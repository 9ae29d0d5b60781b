"""Inner splits keep groups whole, and the choice follows the KL on what they hold out."""

import numpy as np
import pytest

from mpcl_jax.baselines.selection import Part, choose, inner_folds


def part(groups, rows_each=4, emotions=3):
    draw = np.random.default_rng(0)
    n = groups * rows_each
    return Part(
        x=draw.normal(size=(n, 2)).astype(np.float32),
        labels=draw.dirichlet(np.ones(emotions), n),
        group=np.repeat([f"S{i}" for i in range(groups)], rows_each),
    )


def test_no_group_lies_in_both_parts_and_every_row_is_held_out_once():
    group = np.random.default_rng(1).permutation(np.repeat(list("abcdefg"), [3, 9, 4, 4, 1, 7, 5]))
    folds = inner_folds(group)
    assert len(folds) == 3
    for fold in folds:
        assert not set(group[fold.fit]) & set(group[fold.held])
        assert len(fold.fit) + len(fold.held) == len(group)
    held = np.concatenate([fold.held for fold in folds])
    assert sorted(held) == list(range(len(group)))


@pytest.mark.parametrize(("groups", "splits"), [(1, 0), (2, 2), (3, 3), (9, 3)])
def test_few_groups_give_fewer_splits(groups, splits):
    assert len(inner_folds(part(groups).group)) == splits


def test_equal_candidates_and_a_single_group_give_the_first():
    def uniform(_, x, __):
        return np.full((len(x), 3), 1 / 3)

    assert choose(part(groups=4), ("first", "second"), uniform) == "first"

    def never(*_):
        raise AssertionError("nothing can be held out of one group")

    assert choose(part(groups=1), ("first", "second"), never) == "first"


def test_candidates_are_fitted_without_the_rows_that_judge_them():
    train = part(groups=5)

    def check(fitted, x, _):
        assert not {tuple(row) for row in fitted.x} & {tuple(row) for row in x}
        return np.full((len(x), 3), 1 / 3)

    choose(train, (1, 2), check)
