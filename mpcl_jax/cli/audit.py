"""Searches for leaks between training and test data of a run, and writes RUN/audit.json.

    mpcl audit runs/dataset
    mpcl audit runs/wesad --data /elsewhere/WESAD      where the recordings were moved
    mpcl audit runs/mine --config configs/mine.py      where this file registers the data set

Green: no leak was found. Amber: a limitation, or a check that was not possible. Red: a leak.
A run that is not finished is amber or red.

Exit status 0: green or amber. 1: red. 2: the folder is not a run, or its recordings cannot be read. 74: audit.json
cannot be written.
"""

import dataclasses

from mpcl_jax.cli.command import Parser, command, register_datasets_of
from mpcl_jax.data import pipeline
from mpcl_jax.evaluation.audit.evidence import RED, read_settings
from mpcl_jax.evaluation.audit.verdict import audit, to_json, to_text
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import write_text


@command
def run(arguments: list[str]) -> int:
    """Prints every finding; the exit status says whether one of them is a leak."""
    parser = Parser("audit", __doc__)
    parser.add_argument("run", help="folder of a run")
    parser.add_argument(
        "--data", default="", help="folder of the recordings; default: config.data.path of the run"
    )
    parser.add_config()
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args(arguments)
    folder = user_path(args.run)
    settings = read_settings(folder).data
    register_datasets_of(args.config)
    if args.data:
        settings = dataclasses.replace(settings, path=str(user_path(args.data, "--data")))
    found = audit(folder, pipeline.load(settings))
    write_text(folder / "audit.json", to_json(found))
    print(to_json(found).rstrip() if args.json else to_text(found))
    return 1 if found.colour == RED else 0
