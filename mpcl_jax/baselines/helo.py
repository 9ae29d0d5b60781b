"""HeLo (Zheng et al., Heterogeneous Multi-Modal Fusion with Label Correlation, ACM MM 2025, 2507.06821), in Flax.

Cross-attention fuses the physiological modalities: the first one asks, each other one answers. Optimal transport
then matches physiological to behavioural tokens by what is near to what within each side (Gromov-Wasserstein),
the physiological tokens are moved to their partners, and one transformer layer reads both sides. Learned
embeddings of the emotions, whose cosines have to equal those of the emotions in the labels, ask the fused
tokens; their cosines are added to that attention (label correlation-driven cross-attention), and a perceptron
turns what comes back into the distribution.

Written anew from the abstract and from what the released code does; not a port. Differences to that code:

- Emotion embeddings. There: new random numbers at every call, for every row, also at test time, never trained,
  so that a prediction is random. Here: parameters, one row per emotion.
- Correlations. There: cosines over the wrong axis, against the outer product of each single label. Here: cosines
  of the embeddings against cosines of the label columns of the batch; both have ones on the diagonal. The
  squared error has weight 1 beside the mean KL; there it stands beside the sum of the KL over the batch.
- Attention there loses half of its scores at random, also at test time. Here dropout acts on tokens and
  perceptrons, in training only.
- Transport. There: a plan over 36 × 36 tokens by 5 × 20 proximal steps, used transposed and left at the scale
  1/36, and a cosine cost that is computed and not used. Here: a few tokens a side, 5 × 5 Sinkhorn steps, the
  transpose put right, each moved token a weighted mean. No gradient goes through the plan, as there.
- Sizes. There: width 128, 18 tokens a modality, 300 epochs. Here: width 32, 2 tokens, and the search of
  `network.py`, which stops early on people or trials held out. The output starts at the mean label.
- Any number of modalities; without a behavioural (or physiological) side there is nothing to transport, and the
  other side is read alone. A single physiological modality asks itself.
- There: six measures of the first row of each batch of a random fifth of one person's windows. Here: whatever
  the manifest holds out, all of it.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange

from mpcl_jax.baselines import network
from mpcl_jax.baselines.network import Candidate, Network, Problem
from mpcl_jax.baselines.selection import Block, Part
from mpcl_jax.baselines.transformer import (
    HEADS,
    HIDDEN,
    TOKENS,
    WIDTH,
    Attention,
    ModalityTokens,
    TransformerLayer,
    draw_candidates,
    dropped,
    key_of,
)

TRANSPORT_STEPS, SINKHORN_STEPS = 5, 5
SHARPNESS = 0.1  # entropic regularisation of the transport
CORRELATION = 1.0  # weight of the alignment of correlations


def fit_predict(
    train: Part, x: np.ndarray, blocks: tuple[Block, ...], *, seed: int, trials: int
) -> np.ndarray:
    """Searches `trials` >= 1 settings, refits and predicts the test rows `x` [M, P]: [M, C], as `network.py` says."""
    candidates = draw_candidates(seed, trials)
    return network.fit_predict(network_of(blocks, train.labels.shape[1]), candidates, train, x, seed=seed)


class HeLo(nn.Module):
    """The network."""

    blocks: tuple[Block, ...]
    emotions: int

    @nn.compact
    def __call__(self, x, dropout=0.0, key=None):
        """`x` [B, P]. Returns log-probabilities [B, C] and cosines of the emotion embeddings [C, C]."""
        tokens = ModalityTokens(self.blocks, TOKENS, WIDTH, name="tokens")(x)
        layer = TransformerLayer(HEADS, HIDDEN, name="layer")
        sides = self._sides(dropped(tokens, dropout, key_of(key, 0)))
        sides = [layer(side, dropout, key_of(key, 1 + place)) for place, side in enumerate(sides)]
        fused = jnp.concatenate(sides, axis=1)
        fused = nn.Dense(self.emotions, name="fused")(fused.swapaxes(1, 2)).swapaxes(1, 2)  # [B, C, D]

        embedding = self.param("emotions", nn.initializers.uniform(1.0), (self.emotions, WIDTH))
        correlation = cosines(embedding)
        args = jnp.broadcast_to(embedding, (len(x), *embedding.shape))
        answer = Attention(1, name="emotion_attention")(args, fused, correlation)
        hidden = rearrange(answer, "b c d -> b (c d)")
        for name in ("first", "second"):
            hidden = nn.relu(nn.Dense(WIDTH, name=name)(hidden))
        return jax.nn.log_softmax(nn.Dense(self.emotions, name="output")(hidden)), correlation

    def _sides(self, tokens) -> list:
        """Physiological tokens, moved to the behavioural ones, and these; a side alone where there is no other."""
        groups = {
            group: [tokens[:, i] for i, block in enumerate(self.blocks) if block.group == group]
            for group in ("physiological", "behavioural")
        }
        asking, *others = groups["physiological"] or [None]
        if asking is None:
            return [jnp.concatenate(groups["behavioural"], axis=1)]
        ask = Attention(HEADS, name="physiological_attention")
        answers = [ask(asking, other) for other in others or [asking]]
        physiological = nn.Dense(tokens.shape[-1], name="project")(jnp.concatenate(answers, axis=1))
        if not groups["behavioural"]:
            return [physiological]
        behavioural = jnp.concatenate(groups["behavioural"], axis=1)
        plan = jax.lax.stop_gradient(transport(physiological, behavioural))
        moved = jnp.einsum("bpq,bpd->bqd", plan, physiological) * behavioural.shape[1]
        return [moved, behavioural]


def transport(one, other):
    """Gromov-Wasserstein plan [B, P, Q] between the tokens `one` [B, P, D] and `other` [B, Q, D].

    Entries are >= 0, rows sum to about 1/P, columns to 1/Q exactly. Tokens alike among their own are matched:
    entropic regularisation and projected steps as in Peyré, Cuturi and Solomon, ICML 2016, from the uniform plan.
    """
    near, far = 1 - cosines(one), 1 - cosines(other)
    rows, columns = one.shape[1], other.shape[1]
    fixed = (near**2).mean(2)[:, :, None] + (far**2).mean(2)[:, None, :]

    def step(_, plan):
        cost = fixed - 2 * near @ plan @ far.swapaxes(1, 2)
        log_kernel = -cost / SHARPNESS

        def balance(_, log_plan):
            log_plan = log_plan - jax.nn.logsumexp(log_plan, axis=2, keepdims=True) - jnp.log(rows)
            return log_plan - jax.nn.logsumexp(log_plan, axis=1, keepdims=True) - jnp.log(columns)

        return jnp.exp(jax.lax.fori_loop(0, SINKHORN_STEPS, balance, log_kernel))

    uniform = jnp.full((len(one), rows, columns), 1 / (rows * columns))
    return jax.lax.fori_loop(0, TRANSPORT_STEPS, step, uniform)


def cosines(x):
    """Cosines of all pairs of rows, [..., N, D] -> [..., N, N]."""
    unit = x / jnp.sqrt((x**2).sum(-1, keepdims=True) + 1e-12)
    return unit @ unit.swapaxes(-1, -2)


def loss_of(log_probs, correlation, labels):
    """Mean loss of a batch: `log_probs` [B, C] and `correlation` [C, C] of the network, `labels` [B, C]."""
    wanted = cosines(labels.T)
    return -(labels * log_probs).sum(1).mean() + CORRELATION * ((correlation - wanted) ** 2).mean()


@functools.cache
def network_of(blocks: tuple[Block, ...], emotions: int) -> Network:
    """The pure functions of the network for data of this shape; the same object for the same shape."""
    module = HeLo(blocks, emotions)
    start = jax.jit(lambda key, x: module.init(key, x)["params"])

    def init(problem: Problem, _: Candidate, draw: np.random.Generator):
        params = start(jax.random.key(int(draw.integers(2**31))), problem.x[:1])
        output = {"kernel": 0.1 * params["output"]["kernel"], "bias": jnp.asarray(problem.log_mean)}
        return params | {"output": output}

    def loss(params, features, labels, dropout, key):
        return loss_of(*module.apply({"params": params}, features, dropout, key), labels)

    def log_probs(params, x):
        return module.apply({"params": params}, x)[0]

    return Network(init, loss, log_probs)
