"""Co-occurrence of residuals in training subjects, as a part of the personal memory.

A subject who rates one clip sadder than predicted may rate another one calmer. Training subjects show which residuals
go together, over trials and emotions at once. The residuals of training subject s are a function of the views,

    R_s(x) = Σ_p k(x, x_p) a_p,   a = √(g/S) (K_s + I)⁻¹ r_s   over the trials p of s,

and the residual of a new subject is `Σ_s β_s (R_s(x) − mean R(x)) + h(x) + noise`: weights β ~ N(0, I), h the
Gaussian process of `recall_kernel.py`. Both are estimated from the written trials at once, in closed form. This is a
Gaussian process whose covariance has, beside k, the covariance of the functions R_s between trials and emotions.
"""

from collections.abc import Mapping

import numpy as np

from mpcl_jax.model.recall_kernel import LOG_PROBS, OtherSubjects, RecallKernel, covariance, distances

MOST_DECIDING = 64  # trials, the latest, that decide on β; the time grows with their cube


def responses(kernel: RecallKernel, views: dict[str, np.ndarray]) -> np.ndarray:
    """The functions R_s of the S training subjects at N places, [N, S, C]; `views`: view -> [N, F]."""
    return _of_each(covariance(kernel, distances(views, kernel.others.views)), kernel.others)


def shared_with_others(
    kernel: RecallKernel, written: dict[str, np.ndarray], residual: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the residuals [n, C] of n `written` trials, view -> [n, F], share with those of training subjects.

    The last MOST_DECIDING trials decide on β. Returns the coefficients [P, C] of `Σ_s β_s (R_s − mean R)` at the P
    trials of `kernel.others`, and the residuals of those last trials without it.
    """
    others, residual = kernel.others, residual[-MOST_DECIDING:]
    written = {view: x[-MOST_DECIDING:] for view, x in written.items()}
    towards = covariance(kernel, distances(written, others.views))
    found = centred(_of_each(towards, others))
    among = covariance(kernel, distances(written, written)) + np.eye(len(found))
    solved = np.linalg.solve(among, found.reshape(len(found), -1)).reshape(found.shape)
    precision = np.eye(found.shape[1]) + np.einsum("nsc,nuc->su", found, solved)
    beta = np.linalg.solve(precision, np.einsum("nsc,nc->s", solved, residual))
    shared = others.coefficient * (beta - beta.mean())[others.subject, None]
    return shared, residual - towards @ shared


def without_shared(
    kernel: RecallKernel, written: dict[str, np.ndarray], residual: np.ndarray, shared: np.ndarray
) -> np.ndarray:
    """Residuals [n, C] of `written` trials without the part whose coefficients are `shared` [P, C]."""
    return residual - covariance(kernel, distances(written, kernel.others.views)) @ shared


def centred(found: np.ndarray) -> np.ndarray:
    """Responses [N, S, C] less their mean over subjects."""
    return found - found.mean(axis=1, keepdims=True)


def _of_each(towards: np.ndarray, others: OtherSubjects) -> np.ndarray:
    """[N, S, C] of the covariances `towards` [N, P] the trials of the training subjects."""
    ends = np.flatnonzero(np.diff(others.subject)) + 1
    parts = zip(np.split(towards, ends, axis=1), np.split(others.coefficient, ends), strict=True)
    return np.stack([k @ a for k, a in parts], axis=1)


def numbers_of(kernel: RecallKernel) -> dict:
    """The kernel for JSON, without the arrays of `arrays_of_others`."""
    return kernel._asdict() | {"others": kernel.others is not None}


def arrays_of_others(others: OtherSubjects) -> dict[str, np.ndarray]:
    """The arrays of `others` by names that `kernel_of` reads."""
    arrays = {f"others/views/{view}": x for view, x in others.views.items()}
    return arrays | {"others/subject": others.subject, "others/coefficient": others.coefficient}


def kernel_of(
    numbers: dict, arrays: Mapping[str, np.ndarray], widths: Mapping[str, int], before: str = ""
) -> RecallKernel:
    """What `numbers_of` and `arrays_of_others` hold.

    `widths`: view -> F, that of LOG_PROBS is the number of emotions · `before`: how the names of the arrays begin.
    Raises KeyError for a missing array, TypeError for other numbers, ValueError for a damaged array.
    """
    others = None
    if numbers.get("others"):
        views = {view: arrays[f"{before}others/views/{view}"] for view in numbers["gain"]}
        others = OtherSubjects(
            arrays[f"{before}others/subject"], views, arrays[f"{before}others/coefficient"]
        )
        _check(others, widths)
    return RecallKernel(**numbers | {"others": others})


def _check(others: OtherSubjects, widths: Mapping[str, int]) -> None:
    count = len(others.subject)
    shapes = {view: (count, widths.get(view, x.shape[-1])) for view, x in others.views.items()}
    arrays = {"coefficient": others.coefficient} | others.views
    for name, shape in ({"coefficient": (count, widths[LOG_PROBS])} | shapes).items():
        if arrays[name].shape != shape:
            raise ValueError(f"others/{name} has shape {arrays[name].shape}, wanted {shape}")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"others/{name} holds values that are not finite")
    if not count or (np.diff(others.subject) < 0).any():
        raise ValueError("others/subject is not in ascending order")
