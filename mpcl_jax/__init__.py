"""Memory-guided Prototypical Co-occurrence Learning (MPCL) for mixed emotion recognition, in JAX and Flax.

Axis letters, everywhere in this package:

    N    windows of a data set          B    windows of a batch
    T_m  tokens of modality m           F_m  features of a token of modality m
    T    tokens after the encoders      D    width of a token
    C    emotions                       K    prototypes of one emotion (slots)
    G    modality groups, 2             V    valence groups
    S    scales of the associative memory

The two modality groups are called "physiological" and "behavioural". Label distributions are `labels`
[B, C], predicted log-probabilities `log_probs` [B, C], sample weights `weight` [B] (0 for padding).
"""

__version__ = "0.2.0"
