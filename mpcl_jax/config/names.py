"""Names of settings: all names, renamed ones, and suggestions for a misspelt one."""

import difflib

from mpcl_jax.config.describe import groups, settings

NAMES = tuple(setting.name for setting in settings())
ALIKE = 0.8  # ratio of difflib
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
        return f"a group of settings ({', '.join(inside)}); set each of them, e.g. --config.{example}=…"
    if meant := nearest(key):
        return f"unknown setting; did you mean config.{' or config.'.join(meant)}?"
    group = key.rpartition(".")[0]
    return f"unknown setting; known here: {', '.join(_names_in(group) or _names_in(''))}"


def nearest(key: str) -> list[str]:
    """Up to three settings or groups that `key` may stand for, by the whole name or its last part."""

    def likeness(name: str) -> tuple[float, float]:
        whole = difflib.SequenceMatcher(None, key, name).ratio()
        return max(whole, difflib.SequenceMatcher(None, _last(key), _last(name)).ratio()), whole

    others = [name for name in (*NAMES, *groups()) if not key.startswith(f"{name}.") or name in NAMES]
    found = {name: likeness(name) for name in others}
    return sorted((name for name in others if found[name][0] >= ALIKE), key=found.get, reverse=True)[:3]


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _names_in(group: str) -> list[str]:
    """Names of the settings and groups directly in `group`, "" for all; empty for what is not a group."""
    start = f"{group}." if group else ""
    return list(dict.fromkeys(name[len(start) :].split(".")[0] for name in NAMES if name.startswith(start)))
