"""Small WESAD folders in the published format, written byte by byte as Python 2 with NumPy wrote them."""

import struct
from pathlib import Path

import numpy as np
from test_cardiac import ecg_wave, pulse_wave

CODES = {"Base": 1, "TSST": 2, "Fun": 3, "Medi 1": 4, "Medi 2": 4}
ORDER = ("Base", "TSST", "Medi 1", "Fun", "Medi 2")
HEART = {"Base": 70, "TSST": 100, "Medi 1": 60, "Fun": 75, "Medi 2": 60}  # beats per minute


def python2_pickle(value) -> bytes:
    """`value` (dict, text, array) as a protocol 2 pickle of Python 2: byte strings, old module names."""
    return b"".join(python2_parts(value))


def python2_parts(value):
    """The parts of `python2_pickle`, one array after the other."""
    yield b"\x80\x02"
    yield from _opcodes(value)
    yield b"."


def _opcodes(value):
    if isinstance(value, dict):
        yield b"}("
        for key, x in value.items():
            yield from _opcodes(key)
            yield from _opcodes(x)
        yield b"u"
    elif isinstance(value, str):
        yield _text(value.encode())
    else:
        shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in value.shape) + b"t"
        empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + _text(b"b") + b"\x87R"
        yield empty + b"(K\x01" + shape + _dtype(value.dtype) + b"\x89" + _text(value.tobytes()) + b"tb"


def _text(raw: bytes) -> bytes:
    return b"U" + bytes([len(raw)]) + raw if len(raw) < 256 else b"T" + struct.pack("<i", len(raw)) + raw


def _dtype(dtype: np.dtype) -> bytes:
    new = b"cnumpy\ndtype\n" + _text(dtype.str[1:].encode()) + b"K\x00K\x01\x87R"
    state = b"(K\x03" + _text(b"<") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
    return new + state


def recording(subject="S2", order=ORDER, seconds=20, chest=False, faster=0) -> dict:
    """What a pickle holds: five conditions of `seconds` with 3 s of label 0 before each, and code 5 at the end.

    `faster`: beats per minute added to HEART.
    """
    codes = np.concatenate([[0] * 3 + [CODES[c]] * seconds for c in order] + [[0] * 2 + [5] * 3])
    label, total = np.repeat(codes, 700).astype("<i4"), len(codes)
    rng = np.random.default_rng(int(subject[1:]))
    beats = []
    for k, condition in enumerate(order):
        begin, end = k * (seconds + 3) + 0.2, (k + 1) * (seconds + 3)
        beats += list(np.arange(begin, end, 60 / (HEART[condition] + faster)))
    quarter = np.arange(4 * total) / 4
    still = np.tile([0.0, 0.0, 64.0], (32 * total, 1))
    wrist = {
        "ACC": np.round(still + 3 * rng.standard_normal(still.shape)),
        "BVP": pulse_wave(np.array(beats), total)[:, None] + rng.standard_normal((64 * total, 1)),
        "EDA": (1 + 0.2 * np.sin(quarter / 2) + 0.01 * quarter)[:, None],
        "TEMP": (33 + 0.001 * quarter)[:, None],
    }
    whole = _chest(total, beats, rng) if chest else {}
    return {"signal": {"chest": whole, "wrist": wrist}, "label": label, "subject": subject}


def _chest(total, beats, rng) -> dict:
    slow = np.arange(700 * total) / 700
    noise = 0.02 * rng.standard_normal((700 * total, 1))
    return {
        "ACC": np.tile([0.6, 0.0, 0.8], (700 * total, 1)) + noise,
        "ECG": ecg_wave(np.array(beats), total)[:, None],
        "EMG": noise,
        "EDA": (2 + 0.2 * np.sin(slow / 2))[:, None],
        "Temp": (34 + 0.001 * slow)[:, None].astype("<f4"),
        "Resp": (5 * np.sin(2 * np.pi * slow / 4))[:, None],
    }


def answers(order=ORDER, subject="S2", shift=0) -> list[str]:
    """The 24 lines of a questionnaire file without their line ends, with the oddities of the published ones."""
    rows = [
        f"# Subj:;{subject}" if shift % 2 else f"# Subj;{subject}",
        f"# ORDER;{';'.join(order)};sRead;fRead",
        "# START;7.08;39.55;70.19;81;93.38;54.42;89.51",
        "# END;26.32;50.3;77.1;87.47;100.15;56.07;91.15",
        "",
    ]
    for k, condition in enumerate(order):
        row = [str(1 + (3 * i + k + shift) % 5) for i in range(23)]
        # After TSST: Angry and Irritated come between Happy and Sad.
        row += ["5", "4", "2"] if condition == "TSST" else ["2"]
        rows.append("# PANAS;" + ";".join(row))
    rows += ["", *["# STAI;3;2;1;4;2;3"] * 5, "", *["# DIM;7;2"] * 5, "", "# SSSQ;5;5;4;4;3;5"]
    return [row + ";" * (26 - row.count(";")) for row in rows]


def write_subject(root: Path, data: dict, rows: list[str]) -> Path:
    """Writes `S<id>/S<id>.pkl` and `S<id>/S<id>_quest.csv`; returns the folder."""
    folder = root / data["subject"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{folder.name}.pkl").write_bytes(python2_pickle(data))
    (folder / f"{folder.name}_quest.csv").write_bytes("".join(row + "\r\n" for row in rows).encode())
    return folder
