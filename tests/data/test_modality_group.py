"""The modality group that a name suggests."""

import pytest

from mpcl_jax.data.tables.modality_group import guess_group

PHYSIOLOGICAL = (
    "eda wristEDA face_emg emg_zygomaticus zygomaticus corrugator_face face_temperature body_temp hand_gsr surface "
    "video_ppg eeg heart_rate features x1 ECG"
)
BEHAVIOURAL = (
    "face smile brow faceVideo facial_video AU01 au openface gaze eye_gaze head_pose body_pose motion ACC wrist_acc "
    "gyro gait speech_rate voice audio_mfcc left_hand mouse keyboard touch_screen text"
)


@pytest.mark.parametrize(("names", "group"), [(PHYSIOLOGICAL, "physiological"), (BEHAVIOURAL, "behavioural")])
def test_the_group_of_a_modality_is_guessed_from_the_words_of_its_name(names, group):
    assert {name: guess_group(name) for name in names.split()} == dict.fromkeys(names.split(), group)
