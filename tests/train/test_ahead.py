"""What was compiled ahead is what is called: one compilation, and its errors where it is waited for."""

import jax
import jax.numpy as jnp
import pytest

from mpcl_jax.train.ahead import compiled_meanwhile

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compilations():
    """The compilations of a test so far."""
    seen = []

    def listen(event, duration, **more):
        if event == COMPILED:
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


def test_the_call_behind_it_compiles_nothing(compilations):
    function, x = jax.jit(lambda x: jnp.sin(x) * 3 + 0.125), jnp.ones(3)
    compilations.clear()
    with compiled_meanwhile(function, jax.ShapeDtypeStruct((3,), jnp.float32)):
        pass
    assert len(compilations) == 1
    function(x).block_until_ready()
    assert len(compilations) == 1


def test_an_error_is_raised_where_it_is_waited_for():
    reached = []
    with pytest.raises(TypeError), compiled_meanwhile(jax.jit(lambda x: x + "no number"), 1.0):
        reached.append("body")
    assert reached == ["body"]
