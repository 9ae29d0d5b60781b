"""The commands of experiments/speed: mistakes, and exponents of known costs; speeds are not tested."""

import pytest
from python_process import ROOT

from experiments.speed import first_step, growth, throughput

CONFIG = str(ROOT / "configs" / "dataset.py")


# 3 n² + 0 n, 5 n and a constant, from n = 4 to n = 8.
def test_exponents_are_those_of_the_last_two_points():
    points = [growth.Point("emotions", n, 3.0 * n**2, 5.0 * n, 7.0) for n in (1, 4, 8)]
    assert growth.exponents(points) == pytest.approx({"flop": 2.0, "memory": 1.0, "time": 0.0})


@pytest.mark.parametrize(
    "module, words, message",
    [
        (growth, ["--axes", "height"], "unknown 'height'"),
        (first_step, [CONFIG], "required: started"),
        (first_step, [CONFIG, "0", "--config.model.wdth=8"], "unknown setting"),
        (throughput, ["--config", CONFIG, "--config.model.wdth=8"], "unknown setting"),
        (throughput, ["--batches", "32,none"], "invalid batch_sizes value: '32,none'"),
        (throughput, ["--batches", "0"], "invalid batch_sizes value: '0'"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_measured(capsys, module, words, message):
    with pytest.raises(SystemExit) as ended:
        module.main(words)
    assert ended.value.code == 2 and message in capsys.readouterr().err
