"""Devices and compiled programs: where they are kept, and what is compiled ahead."""

import pathlib
import platform

import jax
import jax.numpy as jnp
import jaxlib
import pytest

from mpcl_jax.train import devices
from mpcl_jax.train.devices import compiled_meanwhile
from mpcl_jax.train.jax_settings import fixed_jax_settings


@pytest.fixture
def unchanged_settings():
    """Puts JAX's own settings back."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.mark.usefixtures("unchanged_settings")
def test_where_nothing_can_be_written_no_programs_are_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    before = jax.config.jax_compilation_cache_dir
    assert devices.keep_compiled_programs() == "Not a directory"
    assert jax.config.jax_compilation_cache_dir == before


@pytest.mark.usefixtures("unchanged_settings")
def test_programs_are_read_from_the_folder_of_the_user_only(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "user_folder", lambda: tmp_path)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    assert not devices.keeps_programs()
    devices.keep_compiled_programs()
    assert devices.keeps_programs() == (jax.device_count() == 1)


@pytest.mark.usefixtures("unchanged_settings")
def test_the_folder_of_compiled_programs_has_a_largest_size(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "user_folder", lambda: tmp_path)
    devices.keep_compiled_programs()
    program = pathlib.Path(jax.config.jax_compilation_cache_dir, "program")
    program.write_bytes(bytes(10))
    devices.keep_compiled_programs()
    assert program.exists()
    monkeypatch.setattr(devices, "MOST_KEPT", 9)
    devices.keep_compiled_programs()
    assert not program.exists()


@pytest.mark.usefixtures("unchanged_settings")
def test_programs_lie_apart_for_each_version_and_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "user_folder", lambda: tmp_path)
    folders = []
    for processor in ("one", "one", "another"):
        monkeypatch.setattr(platform, "processor", lambda processor=processor: processor)
        assert devices.keep_compiled_programs() == ""
        folders.append(jax.config.jax_compilation_cache_dir)
    assert folders[0] == folders[1] != folders[2]
    assert all(f.startswith(f"{tmp_path}/compiled-jaxlib-{jaxlib.__version__}-") for f in folders)


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


@pytest.mark.parametrize("x64", [False, True])
def test_the_call_behind_it_compiles_nothing(compilations, x64):
    function, x = jax.jit(lambda x: jnp.sin(x) * 3 + 0.125), jnp.ones(3, jnp.float32)
    with jax.enable_x64(x64), fixed_jax_settings():  # a setting of the calling program
        compilations.clear()
        with compiled_meanwhile(function, jax.ShapeDtypeStruct((3,), jnp.float32)):
            pass
        assert len(compilations) == 1
        function(x).block_until_ready()
    assert len(compilations) == 1
