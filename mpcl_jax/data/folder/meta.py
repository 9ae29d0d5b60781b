"""`meta.json` of a user's own data folder: emotions, modalities and the length of a window."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mpcl_jax.data.folder.files import spelling
from mpcl_jax.data.io.safe_read import read_json
from mpcl_jax.data.issues import Issue, refuse
from mpcl_jax.system.suggestion import suggestion
from mpcl_jax.types import DataError

# Keys of a subject's file that no modality may be named after.
ROW_KEYS = ("labels", "subject", "trial", "stimulus", "start")
PRESENT = "present_"


class Meta(NamedTuple):
    """What holds for every subject."""

    name: str  # for titles; "" where meta.json has none
    emotions: tuple[str, ...]  # C names
    valence: tuple[str, ...]  # C valence groups
    groups: dict[str, str]  # modality -> "physiological" | "behavioural"
    rates: dict[str, float]  # modality -> samples per second of raw signals, only where given
    of_stimulus: tuple[str, ...]  # modalities that describe the stimulus and not the subject
    window_seconds: float  # NaN where not given


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > 100:
        raise ValueError("wanted 1 to 100 printable characters")
    return text


def _modality_name(name: str) -> str:
    if not (name.isascii() and name.isidentifier() and name[0] != "_") or len(name) > 40:
        raise ValueError(f"{name[:60]!r} is no name; use up to 40 letters, digits and _, a letter first")
    if name in ROW_KEYS or name.startswith(PRESENT):
        raise ValueError(f"{name!r} has another meaning in the .npz files; rename it")
    return name


Text = Annotated[str, AfterValidator(_printable)]
Positive = Annotated[float, Field(gt=0, lt=1e9, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Emotion(_Strict):
    name: Text
    valence: Text


class _Modality(_Strict):
    group: Literal["physiological", "behavioural"]
    rate: Positive | None = None
    of: Literal["subject", "stimulus"] = "subject"


class _File(_Strict):
    emotions: list[_Emotion] = Field(min_length=2)
    modalities: dict[Annotated[str, AfterValidator(_modality_name)], _Modality] = Field(min_length=1)
    name: Text = Field("", validate_default=False)
    window_seconds: Positive | None = None


def read_meta(file: Path) -> Meta:
    """Reads and checks `meta.json`; its keys are described in `folder.load`.

    Raises DataError naming the file, the first entry that is wrong, and what is allowed there.
    """
    meta, issues = examine_meta(file)
    refuse(issues)
    return meta


def examine_meta(file: Path) -> tuple[Meta | None, list[Issue]]:
    """The content of `meta.json`, None where it cannot be used, and everything for which it cannot."""
    try:
        held = _File.model_validate(read_json(file))
    except DataError as error:
        return None, [Issue(error.file, "", error.reason, "correct the file")]
    except ValidationError as error:
        found = sorted(error.errors(), key=lambda x: x["type"] == "missing")  # a misspelt key first
        return None, [_issue(file, x) for x in found]
    names = [emotion.name for emotion in held.emotions]
    issues = [
        Issue(str(file), f"emotions[{i}].name", f"{name!r} is there twice (case aside)", "rename one")
        for i, name in enumerate(names)
        if spelling(name) in map(spelling, names[:i])
    ]
    modalities = held.modalities
    meta = Meta(
        name=held.name,
        emotions=tuple(names),
        valence=tuple(emotion.valence for emotion in held.emotions),
        groups={name: x.group for name, x in modalities.items()},
        rates={name: x.rate for name, x in modalities.items() if x.rate},
        of_stimulus=tuple(name for name, x in modalities.items() if x.of == "stimulus"),
        window_seconds=held.window_seconds or math.nan,
    )
    return (None if issues else meta), issues


def _issue(file: Path, error: Any) -> Issue:
    """What pydantic found, in the words of this package."""
    path = error["loc"] or ("the file",)
    *parents, last = path[:-2] if path[-1] == "[key]" else path  # a name is wrong, not the entry below it
    place = "".join(f"[{x}]" if isinstance(x, int) else f".{x}" for x in (*parents, last)).lstrip(".")
    if error["type"] == "extra_forbidden":
        model = (_File, None, _Emotion if "emotions" in parents else _Modality)[len(parents)]
        return Issue(str(file), ascii(place)[1:-1], "unknown", suggestion(str(last), model.model_fields))
    if error["type"] == "missing":
        return Issue(str(file), place, "is missing", "add it")
    if error["type"] == "value_error":
        what, _, fix = error["msg"].removeprefix("Value error, ").partition("; ")
        return Issue(str(file), place, what, fix or "correct it")
    if error["type"] in ("model_type", "dict_type"):
        what = "should be an object"
    else:
        what = "should" + error["msg"].partition("should")[2].replace(" after validation", "")
    return Issue(str(file), ascii(place)[1:-1], f"{what}, got {error['input']!r:.60}", "correct it")
