"""Simulated recordings in which everything a model should find is planted, and returned beside them.

Subjects watch clips and rate emotions from 1 to 5. A Gaussian copula ties the ratings: emotions of one valence
occur together, those of opposite valence exclude each other, a few pairs are special. Most ratings are 1, as
in questionnaires. The rating above its floor decides the signals: emotion c appears through one of its K
prototypes, the same slot in the physiological and in the behavioural group (paired slots), and four modalities
with the shapes of DMER mix the state of their group linearly, with noise and an offset of the subject.

The prototypes of one emotion partly cancel in their mean, so that a linear map of the signals cannot read the
labels: on the defaults, with subjects held out, the test KL of the train mean is about 0.12, of ridge 0.09, of an
MLP 0.05.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from mpcl_jax.config.data import SimulateConfig
from mpcl_jax.data.dmer.files import EMOTIONS
from mpcl_jax.labels import cooccurrence_of, evidence_of
from mpcl_jax.types import GROUPS, Recordings, check_recordings

MODALITIES = {  # name: (group, tokens, features)
    "eeg": ("physiological", 18, 5),
    "gsr": ("physiological", 1, 28),
    "ppg": ("physiological", 1, 27),
    "video": ("behavioural", 1, 32),
}
LATENT = 16  # L, width of the state of a modality group
WINDOW_SECONDS = 10.0
# Copula: within a valence, across valences, of the special pairs within one and of the mixed pair.
WITHIN, ACROSS, PAIR, MIXED = 0.35, -0.35, 0.75, 0.35
# Share of the variance of a rating's latent that comes from the clip, the subject and this trial alone.
CLIP_SHARE, SUBJECT_SHARE, TRIAL_SHARE = 0.3, 0.1, 0.6
RATING_SHARES = (0.60, 0.20, 0.12, 0.06, 0.02)  # of the ratings 1..5
# Part of the mean of an emotion's prototypes that is taken out; 1 = nothing linear is left.
CANCELLATION = 0.7


class Truth(NamedTuple):
    """What was planted. N windows, C emotions, K prototypes of one, L latent dimensions of a modality group."""

    cooccurrence: np.ndarray  # [C, C] mean of e eᵀ over the population, sums to 1; e is the evidence
    correlation: np.ndarray  # [C, C] of the copula
    prototypes: dict[str, np.ndarray]  # group -> [C, K, L], unit rows
    slot: np.ndarray  # [N, C] int, the prototype of each emotion, the same for both groups
    evidence: np.ndarray  # [N, C] label above its floor, rows sum to 1, or to 0 where the label is flat
    state: dict[str, np.ndarray]  # group -> [N, L] Σ_c evidence_c · prototype[c, slot_c]
    mixing: dict[str, np.ndarray]  # modality -> [L, T·F], scaled so that its features have sd 1 on average


def simulate(settings: SimulateConfig) -> tuple[Recordings, Truth]:
    """Recordings of `subjects` × `clips` × `windows` rows and the truth behind them; a function of `settings`.

    Labels are distributions of ten DMER emotions for `emotions` = 10, else of positive_0 … negative_0 …
    """
    rng = np.random.default_rng(settings.seed)
    subjects, clips, c = settings.subjects, settings.clips, settings.emotions
    correlation = _copula(c)
    ratings = _trial_ratings(subjects, clips, correlation, rng)
    labels = ratings / ratings.sum(1, keepdims=True)
    slots = rng.integers(settings.prototypes, size=(subjects * clips, c))
    evidence = evidence_of(labels)
    prototypes = {group: _prototypes(c, settings.prototypes, rng) for group in GROUPS}
    state = {g: np.einsum("nc,ncl->nl", evidence, p[np.arange(c), slots]) for g, p in prototypes.items()}
    trial = np.repeat(np.arange(subjects * clips), settings.windows)
    state = {group: x[trial] for group, x in state.items()}
    signals, mixing = _signals(state, trial // clips, settings, rng)
    present = _present(len(trial), settings.missing, rng)
    for m, here in present.items():
        signals[m][~here] = 0
    recordings = _recordings(settings, labels[trial], trial, signals, present)
    cooccurrence = cooccurrence_of(evidence_of(_ratings(rng.standard_normal((100_000, c)), correlation)))
    truth = Truth(cooccurrence, correlation, prototypes, slots[trial], evidence[trial], state, mixing)
    return check_recordings(recordings, recordings.name), truth


def emotion_names(count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and valence groups of `count` emotions; the first half is positive."""
    positive = (count + 1) // 2
    valence = ("positive",) * positive + ("negative",) * (count - positive)
    if count == len(EMOTIONS):
        return EMOTIONS, valence
    return tuple(f"{v}_{i if i < positive else i - positive}" for i, v in enumerate(valence)), valence


def _copula(c: int) -> np.ndarray:
    """Correlation [C, C] of the latent ratings, the nearest positive definite one to what is planted."""
    positive = (c + 1) // 2
    valence = np.arange(c) < positive
    wanted = np.where(valence[:, None] == valence, WITHIN, ACROSS)
    pairs = [(positive - 1, c - 1, MIXED)]
    if positive > 1:
        pairs.append((0, 1, PAIR))
    if c - positive > 1:
        pairs.append((positive, positive + 1, PAIR))
    for i, j, value in pairs:
        wanted[i, j] = wanted[j, i] = value
    np.fill_diagonal(wanted, 1)
    values, vectors = np.linalg.eigh(wanted)
    repaired = (vectors * np.maximum(values, 0.02)) @ vectors.T
    scale = np.sqrt(np.diag(repaired))
    return repaired / scale / scale[:, None]


def _trial_ratings(subjects: int, clips: int, correlation: np.ndarray, rng) -> np.ndarray:
    """Ratings [subjects · clips, C] of all trials, subject by subject."""
    c = len(correlation)
    subject, clip, own = (_whitened(rng.standard_normal((n, c))) for n in (subjects, clips, subjects * clips))
    shared = np.sqrt(SUBJECT_SHARE) * subject[:, None] + np.sqrt(CLIP_SHARE) * clip
    return _ratings(shared.reshape(subjects * clips, c) + np.sqrt(TRIAL_SHARE) * own, correlation)


def _whitened(z: np.ndarray) -> np.ndarray:
    """`z` [n, C] with mean 0 and unit covariance where n allows it.

    Otherwise the chance correlations of a few dozen clips and subjects would hide the planted ones.
    """
    if len(z) <= z.shape[1]:
        return z
    left, _, right = np.linalg.svd(z - z.mean(0), full_matrices=False)
    return left @ right * np.sqrt(len(z))


def _ratings(z: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """Independent normal `z` [n, C] to correlated ratings 1..5 [n, C]."""
    thresholds = [NormalDist().inv_cdf(share) for share in np.cumsum(RATING_SHARES)[:-1]]
    return 1.0 + np.searchsorted(thresholds, z @ np.linalg.cholesky(correlation).T)


def _prototypes(c: int, slots: int, rng) -> np.ndarray:
    raw = rng.standard_normal((c, slots, LATENT))
    raw -= CANCELLATION * raw.mean(1, keepdims=True)
    return raw / np.linalg.norm(raw, axis=-1, keepdims=True)


def _signals(state, subject, settings: SimulateConfig, rng):
    """Signals m -> [N, T_m, F_m] and mixing m -> [L, T_m · F_m]. `subject` [N] int."""
    signals, mixing = {}, {}
    for m, (group, tokens, features) in MODALITIES.items():
        width = tokens * features
        raw = rng.standard_normal((LATENT, width))
        spread = (state[group] @ raw).std()
        mixing[m] = raw / spread if spread > 0 else raw
        offset = settings.subject_effect * rng.standard_normal((settings.subjects, width))
        noise = settings.noise * rng.standard_normal((len(subject), width))
        mixed = state[group] @ mixing[m] + offset[subject] + noise
        signals[m] = mixed.astype(np.float32).reshape(-1, tokens, features)
    return signals, mixing


def _present(n: int, missing: float, rng) -> dict[str, np.ndarray]:
    here = rng.random((n, len(MODALITIES))) >= missing
    kept = rng.integers(len(MODALITIES), size=n)
    here[~here.any(1), kept[~here.any(1)]] = True
    return dict(zip(MODALITIES, here.T.copy(), strict=True))


def _recordings(settings: SimulateConfig, labels, trial, signals, present) -> Recordings:
    subject, clip = np.divmod(trial, settings.clips)
    names = np.array([f"P{i + 1:02d}" for i in range(settings.subjects)])
    stimuli = np.array([f"clip{j + 1:02d}" for j in range(settings.clips)])
    emotions, valence = emotion_names(settings.emotions)
    return Recordings(
        name="simulated",
        emotions=emotions,
        valence=valence,
        groups={m: group for m, (group, _, _) in MODALITIES.items()},
        signals=signals,
        present=present,
        quality={m: here.astype(np.float32) for m, here in present.items()},
        labels=labels.astype(np.float32),
        subject=names[subject],
        trial=np.array([f"{names[i]}/{stimuli[j]}" for i, j in zip(subject, clip, strict=True)]),
        stimulus=stimuli[clip],
        start=np.tile(WINDOW_SECONDS * np.arange(settings.windows), len(trial) // settings.windows),
        duration=WINDOW_SECONDS,
        notes=("Simulated recordings: results show that the code works, and nothing about real emotions.",),
    )
