"""Features of raw physiological signals, of any device and rate.

Public are `extract` for the signals of one recording, `of_windows` for windows that are already cut, `names`,
`guess_kind`, `KINDS` and the result `Features`. They use the code that makes the features of WESAD.
"""

from mpcl_jax.data.features.own_signals import KINDS, Features, extract, guess_kind, names, of_windows

__all__ = ["KINDS", "Features", "extract", "guess_kind", "names", "of_windows"]
