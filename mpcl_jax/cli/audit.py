"""The leak audit of a finished run.

    python -m mpcl_jax.cli.audit runs/dataset
    python -m mpcl_jax.cli.audit runs/wesad --data /elsewhere/WESAD      where the recordings were moved

Writes RUN/audit.json. Exit code 0: no leak (green, or amber: something that a reader has to know). 1: a leak (red).
2: the folder is no finished run, or its recordings can not be read. 74: audit.json cannot be written.
"""

import argparse
import dataclasses
import sys

from mpcl_jax.config.resolve import ConfigError
from mpcl_jax.data import pipeline
from mpcl_jax.evaluate.audit.evidence import read_settings
from mpcl_jax.evaluate.audit.finding import RED
from mpcl_jax.evaluate.audit.verdict import audit, to_json, to_text
from mpcl_jax.system.errors import DISK, StorageError
from mpcl_jax.system.output import any_output
from mpcl_jax.system.paths import user_path
from mpcl_jax.system.storage import write_text
from mpcl_jax.types import DataFileError


@any_output()
def main() -> None:
    """Prints every finding; the exit code says whether one of them is a leak."""
    parser = argparse.ArgumentParser(
        prog="python -m mpcl_jax.cli.audit", description=__doc__ and __doc__.splitlines()[0]
    )
    parser.add_argument("run", help="folder of a finished run")
    parser.add_argument("--data", default="", help="where its recordings are now; default: config.data.path")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    args = parser.parse_args()
    try:
        run = user_path(args.run)
        settings = read_settings(run).data
        if args.data:
            settings = dataclasses.replace(settings, path=str(user_path(args.data, "--data")))
        found = audit(run, pipeline.load(settings))
        write_text(run / "audit.json", to_json(found))
    except (ConfigError, DataFileError, StorageError) as mistake:
        print("error:", " ".join(str(mistake).split()), file=sys.stderr)
        sys.exit(DISK if isinstance(mistake, StorageError) else 2)
    print(to_json(found).rstrip() if args.json else to_text(found))
    sys.exit(1 if found.colour == RED else 0)


if __name__ == "__main__":
    main()
