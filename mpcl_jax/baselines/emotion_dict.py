"""EmotionDict (Liu et al., Emotion Dictionary Learning With Modality Attentions, IEEE TAFFC 2024), in Flax.

A mixed emotion is a weighted sum of learned basic elements: a transformer maps the tokens of all modalities to the
weights of K dictionary elements, the weighted sum of the elements is the embedding, and a gated perceptron maps the
embedding to the distribution. Auxiliary tasks: each modality, with its own transformer and the shared dictionary and
perceptron, predicts the distribution too, and its element weights follow those of the whole.

A reimplementation from the abstract and the released code, not a port; docs/baselines.md lists the differences.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from mpcl_jax.baselines import transformer
from mpcl_jax.baselines.network import Network
from mpcl_jax.baselines.registry import register_baseline
from mpcl_jax.baselines.selection import Block, Predicted, Task
from mpcl_jax.baselines.transformer import HEADS, HIDDEN, WIDTH, key_of

ELEMENT_WIDTH, ELEMENTS = 64, 32
AUXILIARY = 0.1  # weight of each auxiliary loss


def predict(task: Task, seed: int, tries: int) -> Predicted:
    """Searches `tries` >= 1 settings, refits and predicts the test rows, as `network.py` describes."""
    return transformer.fit_predict(network_of(task.blocks, task.train.labels.shape[1]), task, seed, tries)


class EmotionDict(nn.Module):
    """The network."""

    blocks: tuple[Block, ...]
    emotions: int

    @nn.compact
    def __call__(self, x, dropout=0.0, key=None):
        """`x` [B, P]. Returns log-probabilities [B, 1 + M, C] and element weights [B, 1 + M, K].

        Of the whole first, then of each of the M modalities alone.
        """
        tokens = transformer.ModalityTokens(self.blocks, transformer.TOKENS, WIDTH, name="tokens")(x)
        tokens += self.param("place", nn.initializers.normal(0.02), tokens.shape[1:])[None]
        tokens = transformer.dropped(tokens, dropout, key_of(key, 2))
        together = tokens.reshape(len(x), -1, WIDTH)
        whole = transformer.TransformerLayer(HEADS, HIDDEN, name="whole")
        together = whole(together, dropout, key_of(key, 0))
        # One layer for each modality, with parameters of its own.
        own = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}}
        layers = nn.vmap(transformer.TransformerLayer, in_axes=(1, None, None), out_axes=1, **own)
        each = layers(HEADS, HIDDEN, name="modalities")(tokens, dropout, key_of(key, 1))
        pooled = jnp.concatenate([together.mean(1)[:, None], each.mean(2)], axis=1)  # [B, 1 + M, D]
        weights = nn.Dense(ELEMENTS, name="weights")(pooled)
        elements = self.param("dictionary", nn.initializers.normal(1.0), (ELEMENTS, ELEMENT_WIDTH))
        unit = elements / jnp.linalg.norm(elements, axis=1, keepdims=True)
        return jax.nn.log_softmax(GatedHead(self.emotions, name="head")(weights @ unit)), weights


class GatedHead(nn.Module):
    """A perceptron whose hidden units are weighted by a gate computed from them."""

    emotions: int

    @nn.compact
    def __call__(self, x):
        """[..., E] -> logits [..., C]."""
        hidden = _dense(x, ELEMENT_WIDTH, "hidden")
        gate = jax.nn.sigmoid(_dense(_dense(hidden, ELEMENT_WIDTH // 2, "squeeze"), ELEMENT_WIDTH, "gate"))
        return nn.Dense(self.emotions, name="output")(hidden * gate)


def _dense(x, width, name):
    return nn.leaky_relu(nn.LayerNorm(name=f"{name}_norm")(nn.Dense(width, name=name)(x)))


def loss_of(log_probs, weights, labels):
    """Mean loss of a batch: `log_probs` [B, 1 + M, C] and `weights` [B, 1 + M, K] of the network, `labels` [B, C]."""
    cross_entropy = -(labels[:, None] * log_probs).sum(2)
    attention = jax.nn.log_softmax(weights)
    wanted = jax.lax.stop_gradient(attention[:, :1])
    apart = (jnp.exp(wanted) * (wanted - attention[:, 1:])).sum(2)
    return (cross_entropy[:, 0] + AUXILIARY * (cross_entropy[:, 1:] + apart).mean(1)).mean()


@functools.cache
def network_of(blocks: tuple[Block, ...], emotions: int) -> Network:
    """The pure functions of the network for data of this shape; the same object for the same shape."""
    net = EmotionDict(blocks, emotions)
    return transformer.network_of(net, loss_of, lambda outputs: outputs[0][:, 0], ("head", "output"))


register_baseline("emotion_dict", predict=predict, settings=None)
