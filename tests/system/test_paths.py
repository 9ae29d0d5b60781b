"""A path is read literally, with any characters; a path that is not local is refused in one line."""

import os
import pathlib
import random
import subprocess

import pytest

from mpcl_jax.config.data import SimulateConfig
from mpcl_jax.data.simulate import simulate
from mpcl_jax.system.paths import PLAIN, plain_path, shell_command, user_path
from mpcl_jax.types import DataError, check_recordings

ODD = ["a b", "a#b", "50%25", "a?", "*", "[1]", "{x}", "a|b", "a\\b", "'", '"', "a\nb", "end "]
ODD += ["$HOME", "`x`", "gs:", "日本"]


def test_only_a_tilde_at_the_beginning_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~") == tmp_path
    assert user_path("~/runs/[1]") == tmp_path / "runs" / "[1]"
    assert user_path("runs/~") == pathlib.Path("runs/~")
    assert user_path("./~") == pathlib.Path("~").absolute()
    assert user_path("-x") == pathlib.Path("-x").absolute()
    with pytest.raises(DataError, match="--workdir ~no-such/x: no such home folder .* give ./~no-such/x"):
        user_path("~no-such/x", "--workdir")


@pytest.mark.parametrize("name", ODD)
def test_every_other_character_is_literal(name):
    assert str(user_path(name)) == name
    assert user_path(user_path(f"/tmp/{name}")) == pathlib.Path("/tmp", name)


@pytest.mark.parametrize("url", ["gs://bucket/run", "s3://b", "file:///tmp/x", "https://x.y/z"])
def test_a_url_is_refused(url):
    with pytest.raises(DataError, match=f"^--workdir {url}: is a URL"):
        user_path(url, "--workdir")


def test_a_name_that_is_not_text_is_refused_in_printable_words():
    with pytest.raises(DataError, match="not UTF-8 text; rename") as caught:
        user_path(os.fsdecode(b"b\xe4se"), "config.data.path =")
    assert str(caught.value).isprintable()
    with pytest.raises(DataError, match="zero character"):
        user_path("a\0b")


@pytest.mark.parametrize("field", ["name", "emotions", "subject", "trial", "stimulus", "notes", "groups"])
def test_recordings_with_a_name_that_is_not_text_are_refused(field):
    recordings = simulate(SimulateConfig(subjects=2, clips=2, windows=1))[0]
    odd = "b\udce4se"
    changed = {"name": odd, "notes": (odd,), "groups": {odd: "physiological"}}.get(field)
    if changed is None:
        changed = [odd, *getattr(recordings, field)[1:]]
    with pytest.raises(DataError, match=r"b\\udce4se' is not UTF-8 text .* rename it"):
        check_recordings(recordings._replace(**{field: changed}), "folder")


def test_libraries_get_a_plain_path_to_the_same_folder(tmp_path):
    rng, letters = random.Random(0), [*map(chr, range(1, 128)), "é"]
    names = [*ODD, *("".join(rng.choices(letters, k=9)).replace("/", "") for _ in range(40))]
    for name in names:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_bytes(name.encode())
        with plain_path(folder) as plain:
            assert PLAIN.fullmatch(str(plain)) and (plain / "file").read_bytes() == name.encode()
            (plain / "new").mkdir()
        assert (folder / "new").is_dir()
    assert plain != folder and not plain.exists()


def test_a_command_can_be_pasted_into_a_shell():
    words = ["printf", "%s\\0", "--config.data.modalities=(eeg,)", *ODD, "a\n'\\b\x01"]
    line = shell_command(words)
    assert "\n" not in line
    printed = subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout.decode()
    assert printed.split("\0")[:-1] == words[2:]
    assert shell_command(["--workdir", "runs/a"]) == "--workdir runs/a"
