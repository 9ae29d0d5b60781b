"""experiments/shared/chip_estimate.py: what it reads off a compiled program, and its estimate by hand."""

import jax
import jax.numpy as jnp
import pytest
from run_fixture import quick_options

from experiments.shared import chip_estimate as chips

# A loop with an all-reduce of 10 + 2·3 numbers and one of a pair of scalars; the report's, outside, is no step's.
PROGRAM = """HloModule jit_epoch

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%body.1 (state: (f32[10], s32[])) -> (f32[10], s32[]) {
  %state = (f32[10]{0}, s32[]) parameter(0)
  %x = f32[10]{0} get-tuple-element(%state), index=0
  %fusion.3 = f32[10]{0} fusion(%x), kind=kLoop, calls=%fused
  %all-reduce.1 = (f32[10]{0}, f32[2,3]{1,0}) all-reduce(%fusion.3, %y), replica_groups={{0,1}}, to_apply=%sum
  %all-reduce.2 = (bf16[], s32[]) all-reduce(%u, %v), replica_groups={{0,1}}, to_apply=%sum
  ROOT %tuple.1 = (f32[10]{0}, s32[]) tuple(%z, %i)
}

ENTRY %main (p: f32[10]) -> f32[10] {
  %p = f32[10]{0} parameter(0)
  %while.1 = (f32[10]{0}, s32[]) while(%p), condition=%cond.1, body=%body.1
  ROOT %all-reduce.9 = f32[10]{0} all-reduce(%p), replica_groups={{0,1}}, to_apply=%sum
}
"""


def test_what_a_step_exchanges_is_read_off_the_program():
    assert chips.exchanges(PROGRAM) == [(64, "all-reduce"), (6, "all-reduce")]
    assert chips.kernels_in(PROGRAM) == 3  # the fusion and both exchanges


def test_a_program_of_this_jax_can_be_read():
    def epoch(x):
        return jax.lax.scan(lambda x, _: (jnp.sin(x @ x), None), x, length=3)[0]

    hlo = jax.jit(epoch, compiler_options=quick_options()).lower(jnp.ones((4, 4))).compile().as_text()
    assert 2 <= chips.kernels_in(hlo) <= 12
    assert chips.exchanges(hlo) == []


# A thousand rows of a million FLOP at a tenth of 10 TFLOP/s take 1 ms, ten kernels 20 µs. On 8 chips an eighth of
# the 1 ms, and 2 · 7/8 · 1 MB at 100 GB/s = 17.5 µs with 2 · 3 hops of 1 µs. Twice the chips make a step faster by
# 1.91 (to 2), 1.84, 1.72, 1.55 (to 16) and 1.36 (to 32).
def test_the_estimate_by_hand():
    step = chips.Step(flop=(0.0, 1e6), bytes=(0.0, 1e3), kernels=10, gradient=10**6, along_folds=0)
    chip = chips.Chip("chip", flop=1e13, memory=1e12, link=1e11, far=1e10, near=8)
    assert chips.seconds_of(step, chip, 1000, 1) == (pytest.approx(1.02e-3), 0.0)
    assert chips.seconds_of(step, chip, 1000, 8) == pytest.approx((145e-6, 23.5e-6))
    # Beyond a host the link is a tenth: 2 · 15/16 · 1 MB at 10 GB/s.
    assert chips.seconds_of(step, chip, 1000, 16)[1] == pytest.approx(187.5e-6 + 2 * 3.78e-6, rel=1e-3)
    near = chip._replace(near=64)
    assert chips.worth(step, near, 1000) == 16
    assert chips.worth(step, chip, 1000) == 8
    # So small that only kernels count: more chips pay nothing.
    assert chips.worth(step._replace(flop=(0.0, 1.0)), near, 1000) == 1


def test_the_memory_is_the_limit_where_it_is_slower():
    step = chips.Step(flop=(0.0, 1.0), bytes=(1e6, 1e6), kernels=0, gradient=0, along_folds=0)
    chip = chips.Chip("chip", flop=1e13, memory=1e12, link=1e11, far=1e11, near=8)
    assert chips.seconds_of(step, chip, 99, 1)[0] == pytest.approx(1e-4)
