"""Fusion: what is absent leaves zeros, what is switched off leaves no parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import all_finite, changed, parameters_of, quick_jit, same_bits

from mpcl_jax.config.model import FusionConfig
from mpcl_jax.model.encoders import ModalityEncoder
from mpcl_jax.model.fusion import MultiScaleFusion, RetrievalBlock, unit

pytestmark = pytest.mark.usefixtures("strict_shapes")

SETTINGS = FusionConfig(heads=2, scales=(0.5, 2.0))
SHAPE = {"physiological": (3, 4, 8), "behavioural": (3, 2, 8)}  # B, T_g, D


def test_a_zero_vector_stays_zero_with_a_finite_gradient():
    zero = np.zeros((1, 3), np.float32)
    assert same_bits(unit(zero), zero)
    slope = quick_jit(jax.grad(lambda x: jnp.sum(unit(x) * jnp.arange(3.0)[None])))
    assert all_finite(slope(zero))


def tokens_of(groups=tuple(SHAPE), seed=0):
    """Tokens and presence; the second sample lacks the behavioural group, the third two physiological tokens."""
    rng = np.random.default_rng(seed)
    tokens = {g: rng.normal(size=SHAPE[g]).astype(np.float32) for g in SHAPE}
    present = {g: np.ones(SHAPE[g][:2], bool) for g in SHAPE}
    present["behavioural"][1] = False
    present["physiological"][2, 2:] = False
    return {g: tokens[g] for g in groups}, {g: present[g] for g in groups}


def fusion(dropout=0.0, **settings):
    return MultiScaleFusion(changed(SETTINGS, **settings), width=8, dropout=dropout)


def changes(**settings):
    """Which features [B, G] move when the behavioural tokens of the first sample are replaced."""

    @quick_jit
    def apply(params, tokens, present):
        output = fusion(**settings).apply({"params": params}, tokens, present, train=False)
        return output.feature, output.wide

    tokens, present = tokens_of()
    params = parameters_of(fusion(**settings), tokens, present, train=False)
    other = {**tokens, "behavioural": tokens["behavioural"].copy()}
    other["behavioural"][0, :, 0] += (
        1.0  # of one entry: the norm in front of the retrieval takes a common shift out
    )
    before, after = apply(params, tokens, present)[0], apply(params, other, present)[0]
    return (np.asarray(before) != np.asarray(after)).any(axis=-1).tolist()


@pytest.mark.parametrize("across", [True, False])
def test_a_group_recalls_the_other_only_across_groups(across):
    assert changes(across_groups=across) == [[across, True], [False, False], [False, False]]


def test_across_groups_only_a_group_recalls_nothing_of_its_own():
    """A behavioural token is moved: the other behavioural token stays, the physiological ones see it."""
    module = RetrievalBlock(SETTINGS, 0.0)
    allowed = fusion(within_group=False)._allowed({g: shape[1] for g, shape in SHAPE.items()})
    state = np.concatenate(list(tokens_of()[0].values()), axis=1)
    may_recall = np.tile(allowed[None], (len(state), 1, 1))
    apply = quick_jit(lambda params, x: module.apply({"params": params}, x, may_recall, train=False))
    params = parameters_of(module, state, may_recall, train=False)
    other = state.copy()
    other[:, 4, 0] += 1.0
    moved = (np.asarray(apply(params, state)) != np.asarray(apply(params, other))).any(axis=(0, 2))
    assert moved.tolist() == [True, True, True, True, True, False]


def test_without_retrieval_a_feature_is_a_map_of_its_own_tokens():
    """f = gelu(W · flattened tokens + b), z = W_z f; absent tokens count as zeros."""
    tokens, present = tokens_of()
    module = fusion(within_group=False, across_groups=False)
    params = parameters_of(module, tokens, present, train=False)
    output = quick_jit(lambda p: module.apply({"params": p}, tokens, present, train=False))(params)
    kept = np.where(present["physiological"][..., None], tokens["physiological"], 0.0).reshape(3, 32)
    weights = params["wide_physiological"]
    wide = jax.nn.gelu(kept @ weights["kernel"] + weights["bias"][None])
    np.testing.assert_allclose(output.wide[:, 0], wide, atol=1e-5)
    z = np.asarray(wide) @ params["feature_physiological"]["kernel"]
    np.testing.assert_allclose(output.feature[:, 0], z, atol=1e-5)
    centred = z - z.mean(-1, keepdims=True)
    norm = params["query_norm_physiological"]
    normed = centred / np.sqrt(z.var(-1, keepdims=True) + 1e-6) * norm["scale"][None] + norm["bias"][None]
    np.testing.assert_allclose(
        output.query[:, 0], unit(normed @ params["query_physiological"]["kernel"]), atol=1e-5
    )


ENCODER = {"width": 4, "tokens": 3}


def encode(module, params, signal, present, key=None):
    """Tokens of a module; in training mode if there is a key of its dropout."""
    options = {"train": False} if key is None else {"train": True, "rngs": {"dropout": key}}
    return np.asarray(
        quick_jit(lambda *inputs: module.apply({"params": params}, *inputs, **options))(signal, present)
    )


def test_the_encoder_makes_tokens_of_all_features_at_once():
    module = ModalityEncoder(**ENCODER, dropout=0.0, input_dropout=0.0)
    signal = np.random.default_rng(0).normal(size=(2, 5, 2)).astype(np.float32)
    present = np.array([True, False])
    params = parameters_of(module, signal, present, train=False)
    tokens = encode(module, params, signal, present)
    # Dense(10 -> 3·4), gelu, then Dense(4 -> 4) for each of the three tokens; the absent sample is all zeros.
    flat = np.stack([signal[0].reshape(10), np.zeros(10)])
    hidden = np.asarray(jax.nn.gelu(flat @ params["spread"]["kernel"] + params["spread"]["bias"]))
    expected = hidden.reshape(2, 3, 4) @ params["token"]["kernel"] + params["token"]["bias"]
    np.testing.assert_allclose(tokens, expected, atol=1e-5)
    signal[1] = np.nan
    assert same_bits(tokens, encode(module, params, signal, present))


@pytest.mark.parametrize("features, tokens", [(0.5, 0.0), (0.0, 0.5)])
def test_dropout_of_features_and_of_tokens(features, tokens):
    module = ModalityEncoder(**ENCODER, dropout=tokens, input_dropout=features)
    inputs = np.ones((8, 1, 6), np.float32), np.ones(8, bool)
    params = parameters_of(module, *inputs, train=False)
    made = encode(module, params, *inputs, key=jax.random.key(0))
    # Tokens themselves are dropped to exact zeros; dropped features only change them.
    assert (made == 0).any() == (tokens > 0)
    assert len(np.unique(made.reshape(8, -1), axis=0)) > 1
    assert len(np.unique(encode(module, params, *inputs).reshape(8, -1), axis=0)) == 1
