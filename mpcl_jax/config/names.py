"""Names of settings: which there are, which were renamed, and which one a misspelt name may stand for."""

import difflib

from mpcl_jax.config.describe import groups, settings

NAMES = tuple(setting.name for setting in settings())
RENAMED = {
    "distributed.patience": "distributed.timeout",
    "loss.full_after": "loss.aux_warmup_steps",
    "model.memory.weigh_slots": "model.memory.mixture_weights",
    "protocol.calibration_most": "protocol.calibration_pool",
    "train.drop_group": "train.group_dropout",
    "train.drop_modality": "train.modality_dropout",
    "train.skips_in_a_row": "train.max_consecutive_skips",
    "train.spike": "train.spike_threshold",
}


def unknown(key: str) -> str:
    """Why `key` is not a setting, and which one may be meant."""
    if key in RENAMED:
        return f"was renamed to config.{RENAMED[key]}"
    if key and (inside := _names_in(key)):
        example = next(name for name in NAMES if name.startswith(f"{key}."))
        return (
            f"a group of settings ({', '.join(inside)}) is not set as a whole; set each, "
            f"e.g. --config.{example}=…"
        )
    if meant := nearest(key):
        return f"unknown setting; did you mean config.{' or config.'.join(meant)}?"
    group = key
    while group and not _names_in(group):
        group = group.rpartition(".")[0]
    return f"unknown setting; known here: {', '.join(_names_in(group))}"


def nearest(key: str) -> list[str]:
    """Up to three settings or groups that `key` may stand for, the likeliest first."""
    last, ends = _last(key), {_last(name) for name in NAMES}
    ending = [last] if last in ends else difflib.get_close_matches(last, ends, n=1, cutoff=0.7)
    similar = difflib.get_close_matches(key, NAMES, n=1, cutoff=0.8)
    elsewhere = [name for name in NAMES if _last(name) in ending]
    other_groups = [group for group in groups() if not key.startswith(f"{group}.")]
    of_groups = difflib.get_close_matches(key, other_groups, n=1, cutoff=0.75)
    return list(dict.fromkeys([*similar, *elsewhere, *of_groups]))[:3]


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _names_in(group: str) -> list[str]:
    """Names of the settings and groups directly in `group`, "" for all; empty for what is not a group."""
    start = f"{group}." if group else ""
    return list(dict.fromkeys(name[len(start) :].split(".")[0] for name in NAMES if name.startswith(start)))
