"""The gallery: the page, the committed pictures and the script name the same pictures."""

import re

from finished_run import write_run
from python_process import ROOT

from experiments.figures.gallery import figures
from mpcl_jax.runs.read_run import read_run

PICTURES = ROOT / "docs" / "pictures" / "gallery"


def test_the_page_shows_every_picture_that_the_script_draws(tmp_path):
    write_run(tmp_path / "run")
    drawn = figures(read_run(tmp_path / "run"))
    page = (ROOT / "docs" / "gallery.md").read_text()
    images = re.findall(r"!\[(.+)\]\(pictures/gallery/(\w+)\.svg\)", page)
    assert [name for _, name in images] == list(drawn)
    assert all(len(alt) > 40 for alt, _ in images)
    assert {path.stem for path in PICTURES.iterdir()} == set(drawn)
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 2**20
