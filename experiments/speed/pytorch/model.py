"""The model of `mpcl_jax/model` in plain PyTorch, for `experiments/speed/against_pytorch.py`.

Stages, shapes and names of parameters are those of the package, where every line is explained. The model is written
for two modality groups and the default switches of `config.model`; its sizes follow the config.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mpcl_jax.config.model import CooccurrenceConfig, FusionConfig, ModelConfig
from mpcl_jax.types import GROUPS, DataSpec

EMPTY = RARE = 1e-3  # as in mpcl_jax/model/prototypes.py and cooccurrence.py


class Prototypes(NamedTuple):
    """The memory, which no gradient changes."""

    bank: Tensor  # [G, C, K, D] unit rows
    mass: Tensor  # [G, C, K]
    usage: Tensor  # [C, K]
    cooccurrence: Tensor  # [C, C]


class Output(NamedTuple):
    """What losses and memory need of one forward pass."""

    log_probs: Tensor  # [B, C]
    query: Tensor  # [B, G, D] unit rows
    present: Tensor  # [B, G] bool
    logits: Tensor  # [B, G, C, K]
    cooccurrence_map: Tensor  # [B, C, C]


def unit(x: Tensor) -> Tensor:
    """`x` scaled to length 1 along its last axis; zeros stay zeros."""
    square = x.square().sum(-1, keepdim=True)
    return x * torch.where(square > 0, square, 1.0).rsqrt()


def gelu(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


def layer_norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=1e-6)  # Flax's


class ModalityEncoder(nn.Module):
    """All features of one modality -> a few tokens."""

    def __init__(self, features: int, settings: ModelConfig):
        super().__init__()
        self.tokens = settings.tokens
        self.spread = nn.Linear(features, settings.tokens * settings.width)
        self.token = nn.Linear(settings.width, settings.width)
        self.input_dropout = nn.Dropout(settings.input_dropout)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, signal: Tensor, present: Tensor) -> Tensor:
        """`signal` [B, T_m, F_m] · `present` [B] bool. Returns [B, N_m, D]."""
        signal = signal.masked_fill(~present[:, None, None], 0.0)
        hidden = gelu(self.spread(self.input_dropout(signal.flatten(1))))
        return self.dropout(self.token(hidden.unflatten(1, (self.tokens, -1))))


class MultiScaleRetrieval(nn.Module):
    """`A = Σ_s g_s · softmax(β_s · Q Kᵀ)`, `output = A V W_o` by several heads (stage 1)."""

    def __init__(self, width: int, settings: FusionConfig):
        super().__init__()
        self.heads, scales = settings.heads, len(settings.scales)
        self.log_beta = nn.Parameter(torch.zeros(scales))
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.gate = nn.Linear(width, self.heads * scales)
        self.output = nn.Linear(width, width)

    def forward(self, state: Tensor, may_recall: Tensor) -> Tensor:
        """`state` [B, T, D] · `may_recall` [B, T, T] bool. Returns [B, T, D]."""
        key, value = self.key_value(state).chunk(2, dim=-1)
        query, key, value = (
            x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in (self.query(state), key, value)
        )
        similarity = query @ key.transpose(-1, -2)  # [B, H, T, T]
        scaled = self.log_beta.exp()[:, None, None] * similarity[:, :, None]  # [B, H, S, T, T]
        forbidden = ~may_recall[:, None, None]
        masked = scaled.masked_fill(forbidden, torch.finfo(scaled.dtype).min)
        per_scale = masked.softmax(-1).masked_fill(forbidden, 0.0)
        gate = self.gate(state).unflatten(-1, (self.heads, -1)).softmax(-1)  # [B, T, H, S]
        association = torch.einsum("bths,bhstn->bhtn", gate, per_scale)
        return self.output((association @ value).transpose(1, 2).flatten(2))


class RetrievalBlock(nn.Module):
    """`x + retrieve(LN x)`, then `x + MLP(LN x)`."""

    def __init__(self, settings: ModelConfig):
        super().__init__()
        width, hidden = settings.width, int(settings.fusion.mlp_ratio * settings.width)
        self.norm, self.mlp_norm = layer_norm(width), layer_norm(width)
        self.retrieval = MultiScaleRetrieval(width, settings.fusion)
        self.mlp_in, self.mlp_out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, state: Tensor, may_recall: Tensor) -> Tensor:
        state = state + self.dropout(self.retrieval(self.norm(state), may_recall))
        return state + self.dropout(self.mlp_out(gelu(self.mlp_in(self.mlp_norm(state)))))


class Fusion(nn.Module):
    """One retrieval among all tokens, then one feature and one query per group (stage 1)."""

    def __init__(self, settings: ModelConfig, counts: dict[str, int]):
        """`counts`: the number of tokens of each group."""
        super().__init__()
        width = settings.width
        self.block = RetrievalBlock(settings)
        self.wide = nn.ModuleDict({g: nn.Linear(n * width, 2 * width) for g, n in counts.items()})
        self.feature = nn.ModuleDict({g: nn.Linear(2 * width, width, bias=False) for g in counts})
        self.query_norm = nn.ModuleDict({g: layer_norm(width) for g in counts})
        self.query = nn.ModuleDict({g: nn.Linear(width, width, bias=False) for g in counts})

    def forward(self, tokens: dict[str, Tensor], present: dict[str, Tensor]):
        """`tokens` {group: [B, T_g, D]} · `present` {group: [B, T_g] bool}.

        Returns f [B, G, 2D], z [B, G, D], the query [B, G, D] and whether the group is present [B, G].
        """
        there = torch.cat(list(present.values()), dim=1)
        together = torch.cat(list(tokens.values()), dim=1)
        together = self.block(together, there[:, None, :].expand(-1, there.shape[1], -1))
        split = together.split([x.shape[1] for x in tokens.values()], dim=1)
        of_group = dict(zip(tokens, split, strict=True))
        found = [self._summarise(g, of_group[g], present[g]) for g in GROUPS]
        return tuple(torch.stack(x, dim=1) for x in zip(*found, strict=True))

    def _summarise(self, group: str, tokens: Tensor, present: Tensor):
        there = present.any(1)
        kept = tokens.masked_fill(~present[..., None], 0.0)
        wide = gelu(self.wide[group](kept.flatten(1))).masked_fill(~there[:, None], 0.0)
        feature = self.feature[group](wide)
        query = unit(self.query[group](self.query_norm[group](feature)))
        return wide, feature, query, there


class PrototypeReading(nn.Module):
    """One token per emotion: `h_c = LN(Σ_g [W_q z_g + w_r · logsumexp_k s'_g] + embedding_c)` (stage 2a)."""

    def __init__(self, settings: ModelConfig, emotions: int):
        super().__init__()
        width, groups = settings.width, len(GROUPS)
        self.emotion = nn.Parameter(torch.zeros(emotions, width))
        self.from_feature = nn.Linear(groups * width, width)
        self.from_strength = nn.Linear(groups, width, bias=False)
        self.norm = layer_norm(width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, feature: Tensor, logits: Tensor) -> Tensor:
        """`feature` [B, G, D] · `logits` [B, G, C, K]. Returns [B, C, D]."""
        tokens = self.from_feature(feature.flatten(1))[:, None] + self.emotion
        strength = logits.logsumexp(-1).transpose(1, 2)  # [B, C, G]
        return self.dropout(self.norm(tokens + self.from_strength(strength)))


class CooccurrenceRetrieval(nn.Module):
    """Emotion tokens recall the prototypes of both banks, guided by the stored co-occurrence (stage 2c)."""

    def __init__(self, width: int, settings: CooccurrenceConfig):
        super().__init__()
        self.state = nn.Linear(width, width, bias=False)
        self.log_beta = nn.Parameter(torch.tensor(settings.beta).log())
        self.prior_strength = nn.Parameter(torch.ones(()))
        self.called = nn.Linear(1, width, bias=False)
        self.norm = layer_norm(width)

    def forward(self, tokens: Tensor, logits: Tensor, memory: Prototypes, log_weight: Tensor):
        """`tokens` [B, C, D] · `logits` [B, G, C, K]. Returns tokens [B, C, D] and the map [B, C, C]."""
        groups, emotions, slots, _ = memory.bank.shape
        scores = self.log_beta.exp() * unit(self.state(tokens)) @ memory.bank.flatten(0, 2).T
        total = memory.cooccurrence.sum(1, keepdim=True).clamp(min=1e-12)
        prior = self.prior_strength * (memory.cooccurrence / total + RARE).log()  # [C, C']
        scores = scores + log_weight.flatten() + prior.repeat_interleave(slots, dim=1).repeat(1, groups)
        association = scores.softmax(-1).unflatten(-1, (groups, emotions, slots))
        retrieved = association.sum((2, 4))
        near = logits.logsumexp(-1).mean(1).softmax(-1)
        together = (torch.einsum("bc,bce->be", near, retrieved) + RARE).log()
        return self.norm(tokens + self.called(together[..., None])), retrieved


class Compression(nn.Module):
    """Retrieval with one learned query per valence group, or a single query; then an MLP (stage 3)."""

    def __init__(self, width: int, queries: int, emotions: int = 0):
        """`emotions` 0: no bias that ties queries to emotions."""
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(queries, emotions)) if emotions else 0.0
        self.query = nn.Parameter(torch.zeros(queries, width))
        self.key_value = nn.Linear(width, 2 * width)
        self.norm = layer_norm(width)
        self.mlp_in, self.mlp_out = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """`tokens` [B, N, D]. Returns [B, V, D]."""
        key, value = self.key_value(tokens).chunk(2, dim=-1)
        similarity = self.query @ key.transpose(1, 2) / key.shape[-1] ** 0.5 + self.bias
        pooled = similarity.softmax(-1) @ value
        return pooled + self.mlp_out(gelu(self.mlp_in(self.norm(pooled))))


class DistributionHead(nn.Module):
    """Emotion tokens -> valence groups -> one, and the distribution (stage 3)."""

    def __init__(self, settings: ModelConfig, valence: list[int]):
        super().__init__()
        width, emotions = settings.width, len(valence)
        self.register_buffer("valence", torch.tensor(valence))
        self.by_valence = Compression(width, max(valence) + 1, emotions)
        self.globally = Compression(width, 1)
        self.bias = nn.Parameter(torch.zeros(emotions))
        self.mlp_in, self.mlp_out = nn.Linear(3 * width, width), nn.Linear(width, 1, bias=False)
        self.from_global = nn.Linear(width, emotions, bias=False)
        self.direct = nn.Linear(2 * len(GROUPS) * width, emotions, bias=False)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, tokens: Tensor, wide: Tensor) -> Tensor:
        """`tokens` [B, C, D] · `wide` [B, G, 2D]. Returns log-probabilities [B, C]."""
        by_valence = self.by_valence(tokens)
        whole = self.globally(by_valence)
        joined = torch.cat([tokens, by_valence[:, self.valence], whole.expand_as(tokens)], dim=-1)
        own = self.mlp_out(self.dropout(gelu(self.mlp_in(joined))))[..., 0]
        logits = self.bias + own + self.from_global(whole[:, 0]) + self.direct(self.dropout(wide.flatten(1)))
        return logits.log_softmax(-1)


class MPCL(nn.Module):
    """Signals in, emotion distribution out."""

    def __init__(self, settings: ModelConfig, spec: DataSpec):
        super().__init__()
        self.groups, self.temperature = dict(spec.groups), settings.memory.temperature
        self.recall = settings.memory.recall
        self.encode = nn.ModuleDict(
            {m: ModalityEncoder(int(np.prod(shape)), settings) for m, shape in spec.shapes.items()}
        )
        counts = {g: settings.tokens * sum(x == g for x in self.groups.values()) for g in GROUPS}
        numbers = {name: i for i, name in enumerate(dict.fromkeys(spec.valence))}
        self.fusion = Fusion(settings, counts)
        self.reading = PrototypeReading(settings, len(spec.emotions))
        self.cooccurrence = CooccurrenceRetrieval(settings.width, settings.cooccurrence)
        self.head = DistributionHead(settings, [numbers[name] for name in spec.valence])

    def forward(self, signals: dict[str, Tensor], present: dict[str, Tensor], memory: Prototypes) -> Output:
        wide, feature, query, there = self.fusion(*self._tokens(signals, present))
        held = memory.mass + EMPTY
        log_weight = (held / held.sum(-1, keepdim=True)).log()
        if self.recall:
            query = self._recall_absent(query, there, memory.bank, log_weight)
        else:
            query = query.masked_fill(~there[..., None], 0.0)
        logits = similarities(query, memory.bank, self.temperature) + log_weight
        tokens, retrieved = self.cooccurrence(self.reading(feature, logits), logits, memory, log_weight)
        return Output(self.head(tokens, wide), query, there, logits, retrieved)

    def _tokens(self, signals, present):
        """Tokens {group: [B, T_g, D]} and whether each is present {group: [B, T_g] bool}."""
        tokens, there = {}, {}
        for m, group in self.groups.items():
            of_modality = self.encode[m](signals[m], present[m])
            tokens.setdefault(group, []).append(of_modality)
            there.setdefault(group, []).append(present[m][:, None].expand(-1, of_modality.shape[1]))
        return tuple({g: torch.cat(x, dim=1) for g, x in tree.items()} for tree in (tokens, there))

    def _recall_absent(self, query, present, bank, log_weight) -> Tensor:
        """The query of an absent group from the relation of the other group to its own bank. [B, G, D]."""
        logits = similarities(query, bank, self.temperature) + log_weight
        relation = logits.flatten(2).softmax(-1).flip(1)
        recalled = unit(torch.einsum("bgn,gnd->bgd", relation, bank.flatten(1, 2)))
        there = present[..., None]
        return torch.where(there, query, recalled.masked_fill(~there.flip(1), 0.0))


def similarities(query: Tensor, bank: Tensor, temperature: float) -> Tensor:
    """`query` [B, G, D] · `bank` [G, C, K, D]. Returns [B, G, C, K]."""
    return torch.einsum("bgd,gckd->bgck", query, bank) / temperature
