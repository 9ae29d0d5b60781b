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


# A thousand rows of 45.9 million FLOP at a tenth of 459 TFLOP/s take 1 ms, ten kernels 20 µs. On 8 chips an eighth of
# the 1 ms, and 2 · 7/8 · 1 MB at 600 GB/s = 2.9 µs with 2 · 3 hops of 1 µs.
def test_the_estimate_by_hand():
    step = chips.Step(flop=(0.0, 45.9e6), bytes=(0.0, 1e3), kernels=10, gradient=10**6, along_folds=0)
    assert chips.seconds_of(step, 1000, 1) == (pytest.approx(1.02e-3), 0.0)
    assert chips.seconds_of(step, 1000, 8) == pytest.approx((145e-6, 8.917e-6), rel=1e-3)


def test_the_memory_is_the_limit_where_it_is_slower():
    step = chips.Step(flop=(0.0, 1.0), bytes=(27.65e6, 27.65e6), kernels=0, gradient=0, along_folds=0)
    assert chips.seconds_of(step, 99, 1)[0] == pytest.approx(1e-3)
