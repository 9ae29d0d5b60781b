"""Types that several settings share; pydantic reads the allowed values from them."""

from typing import Annotated

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, StrictFloat, StrictInt, StrictStr, WithJsonSchema

from mpcl_jax.system.paths import user_path
from mpcl_jax.types import DataError

# A name that is not a setting is an error. The sentence below a setting is its description (`describe.py`).
STRICT = pydantic.ConfigDict(extra="forbid")

AUTO = "auto"  # the value of a setting that follows the number of training windows (train/run.py)


def _local_path(text: str) -> str:
    """`text` with the home folder in place of `~`. Raises ValueError for what is not a path of this machine."""
    try:
        return str(user_path(text)) if text else text
    except DataError as error:
        raise ValueError(error.reason) from error


Seed = Annotated[StrictInt, Field(ge=0, le=2**32 - 1)]
Share = Annotated[StrictFloat, Field(ge=0, lt=1)]
Weight = Annotated[StrictFloat, Field(ge=0, le=1000)]
Fraction = Annotated[StrictFloat, Field(ge=0, le=1)]
Positive = Annotated[StrictFloat, Field(gt=0, le=1e6)]
Seconds = Annotated[StrictFloat, Field(gt=0, le=3600)]
LocalPath = Annotated[
    StrictStr, AfterValidator(_local_path), WithJsonSchema({"allowed": "the path of a local file or folder"})
]
# A name in a registry: a data set, a baseline. The registry refuses the names that it does not have.
Name = Annotated[
    StrictStr,
    pydantic.StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"),
    WithJsonSchema({"allowed": "a name of letters, digits and _"}),
]
# A dict as sorted pairs, which are hashable; `dict(settings.options)` in a loader.
Options = Annotated[
    tuple[tuple[Name, pydantic.StrictBool | StrictInt | StrictFloat | StrictStr], ...],
    BeforeValidator(lambda options: tuple(sorted(options.items())) if isinstance(options, dict) else options),
    WithJsonSchema({"allowed": "names with a number, text, true or false"}),
]
