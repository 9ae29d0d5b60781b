"""The modality group that the name of a modality suggests: the one rule for arrays, data frames and imports."""

import re

from mpcl_jax.data.features import guess_kind
from mpcl_jax.types import GROUPS

# Kinds of signals (`features.KINDS`) that are physiological wherever they are measured: "face_temperature".
BODILY = ("eda", "bvp", "ecg", "resp", "temp", "emg", "eeg")
# Muscles whose electromyography is named without "emg".
MUSCLES = re.compile(r"\b(zygomatic|corrugator|orbicularis|frontalis|masseter|trapezius)")
# The beginnings of words that mark behaviour, and whole words.
BEHAVIOUR = re.compile(
    r"\b(face|facial|smil|frown|brow|mouth|video|gaze|eye|pupil|pose|head|body|gesture|motion|mov|acc|imu|gyr|gait|walk|step|speech|voice|audio"
    r"|text|action|behav|key|mouse|touch|openface|openpose)|\b(au|hands?)\b"
)


def guess_group(modality: str) -> str:
    """The group of a modality by its name, "physiological" or "behavioural".

    Physiological: electrodermal, cardiac, respiratory, temperature, muscle and brain signals. Then behavioural: names
    with a word for face, gaze, pose, motion, speech, audio, video, text or the use of a keyboard, mouse or screen.
    All other names are physiological.
    """
    words = " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", modality)).lower()
    bodily = guess_kind(modality) in BODILY or MUSCLES.search(words)
    return GROUPS[1] if BEHAVIOUR.search(words) and not bodily else GROUPS[0]
