"""The commands of experiments/speed: mistakes, and exponents of known costs; speeds are not tested."""

import pytest
from python_process import ROOT

from experiments.speed import first_step, growth, step_profile, throughput
from experiments.speed.step_profile import Kernel

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
        (step_profile, ["--config", CONFIG, "--config.model.wdth=8"], "unknown setting"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_measured(capsys, module, words, message):
    with pytest.raises(SystemExit) as ended:
        module.main(words)
    assert ended.value.code == 2 and message in capsys.readouterr().err


MODULE = """HloModule epoch

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%fused (x: f32[8,4]) -> f32[8] {
  %x = f32[8,4]{1,0} parameter(0)
  ROOT %total = f32[8]{0} reduce(%x, %x), dimensions={1}, to_apply=%sum
}

%moved (x: f32[8,4]) -> f32[4,8] {
  %x.1 = f32[8,4]{1,0} parameter(0)
  ROOT %turned = f32[4,8]{1,0} transpose(%x.1), dimensions={1,0}
}

ENTRY %main (x: f32[8,4]) -> f32[8] {
  %x.2 = f32[8,4]{1,0} parameter(0)
  %gelu.1 = f32[8,4]{1,0} tanh(%x.2), metadata={op_name="jit(epoch)/jvp(MPCL)/MPCL._encode/eeg/tanh"}
  %copy.1 = f32[4,8]{1,0} fusion(%gelu.1), kind=kLoop, calls=%moved
  %dot.1 = f32[4,4]{1,0} dot(%copy.1, %gelu.1), metadata={op_name="jit(epoch)/transpose(jvp(MPCL))/fusion/block"}
  %loop.1 = (f32[4,4]{1,0}) while(%dot.1), condition=%sum, body=%sum
  ROOT %sums.1 = f32[8]{0} fusion(%gelu.1), kind=kLoop, calls=%fused, metadata={op_name="jit(epoch)/jvp()/reduce_sum"}
}
"""


def test_kernels_of_a_module_and_their_time_in_a_step():
    kernels = step_profile.kernels_of(MODULE)
    assert kernels["gelu.1"] == Kernel(step_profile.ELEMENTWISE, "encoders")
    assert kernels["copy.1"] == Kernel(step_profile.MOVES, step_profile.REST)
    assert kernels["dot.1"] == Kernel(step_profile.GRADIENTS, "fusion")
    assert kernels["sums.1"] == Kernel(step_profile.REDUCTIONS, step_profile.REST)
    calls = {
        "gelu.1": [3e6, 1e6, 2e6, 2e6],
        "dot.1": [3e6, 4e6],
        "loop.1": [9e9],
        "sums.1": [1e6] * 4,
        "other": [9e9],
    }
    frame = step_profile.frame_of(kernels, calls, steps=2).set_index("what")
    # gelu: the shortest call takes 1 ms, 2 calls a step; dot: 3 ms, 1 call; sums: 1 ms, 2 calls
    assert frame["ms"].to_dict() == {
        step_profile.GRADIENTS: 3.0,
        step_profile.ELEMENTWISE: 2.0,
        step_profile.REDUCTIONS: 2.0,
        "encoders": 2.0,
        "fusion": 3.0,
        step_profile.REST: 2.0,
    }
    assert frame["share"][step_profile.GRADIENTS] == pytest.approx(3 / 7)
