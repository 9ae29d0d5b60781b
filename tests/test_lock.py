"""The locked dependencies of CI: every one of pyproject.toml, hashed, and nothing of the machine that made them."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from python_process import ROOT

LOCK = (ROOT / "requirements" / "ci.txt").read_text()
# "jax==0.10.2 ; python_full_version < '3.12' \" and the lines of hashes below it.
ENTRY = re.compile(
    r"^([A-Za-z0-9._-]+==\S+)( ; .*?)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def pins() -> list[Requirement]:
    return [Requirement(f"{pin}{marker}") for pin, marker, _ in ENTRY.findall(LOCK)]


def wanted() -> list[Requirement]:
    """What `.[test]` installs; `test` names the extra `docs` of this package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    texts = project["project"]["dependencies"] + project["build-system"]["requires"]
    found = [Requirement(text) for text in texts + extras["test"] + extras["docs"]]
    return [need for need in found if need.name != project["project"]["name"]]


def key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("python", ["3.11.9", "3.12.8", "3.13.1"])
def test_every_dependency_is_pinned_to_a_version_that_fits(python):
    for need in wanted():
        for pin in pins():
            if key(pin.name) == key(need.name) and (
                pin.marker is None or pin.marker.evaluate({"python_full_version": python})
            ):
                (version,) = [spec.version for spec in pin.specifier]
                assert need.specifier.contains(version), f"{need}: {version}; see docs/release.md"
                break
        else:
            pytest.fail(f"{need} is not in requirements/ci.txt; see docs/release.md")


def test_the_lock_holds_nothing_but_pins_with_hashes():
    assert len(pins()) > 30
    assert ENTRY.sub("", LOCK) == ""
