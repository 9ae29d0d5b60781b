"""For tests of imports: files are read in this process, and a mistake is one line."""

import pytest

from mpcl_jax.data.tables import e4, edf, read_table
from mpcl_jax.data.tables.import_source import import_source
from mpcl_jax.types import DataError


def read_in_process(monkeypatch) -> None:
    """Starting a guarded child for each file takes a second."""
    for module in (read_table, e4, edf):
        monkeypatch.setattr(module, "run_guarded", lambda function, *args: function(*args))


def refusal(source, options) -> str:
    """The message of the DataError that the import must raise."""
    with pytest.raises(DataError) as caught:
        import_source(source, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
