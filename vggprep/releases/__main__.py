"""``python -m vggprep.releases rebuild``: make the record from nothing."""

import argparse
import sys
from pathlib import Path

from vggprep.releases.environments import cache_directory, combinations
from vggprep.releases.observation import ObservationError
from vggprep.releases.rebuild import rebuild
from vggprep.releases.record import FILE


def main(arguments: list[str] | None = None) -> int:
    """Build, observe, write; 0 if the record was written, 2 if nothing could be run."""
    parser = argparse.ArgumentParser(prog="python -m vggprep.releases", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("rebuild", help="build every environment, observe every release, write the record")
    verb.add_argument("releases", nargs="*", help="only these, keeping what is recorded of the others")
    verb.add_argument("--directory", type=Path, default=cache_directory(), help="where environments are built")
    verb.add_argument("--output", type=Path, default=FILE, help="the record to write")
    verb.add_argument("--workers", type=int, default=2, help="how many releases to observe at a time")
    verb.add_argument("--resume", action="store_true", help="keep the observations that are in the directory already")
    given = parser.parse_args(arguments)
    unknown = set(given.releases) - {combination.name for combination in combinations()}
    if unknown:
        parser.error(f"not among the combinations: {', '.join(sorted(unknown))}")
    if given.workers < 1:
        parser.error(f"--workers is {given.workers}; give 1 or more")
    if not given.output.resolve().parent.is_dir() or given.output.is_dir():
        parser.error(f"cannot write {given.output}: give a file in a folder that exists")

    def report(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        rebuild(given.directory, given.output, set(given.releases), given.workers, not given.resume, report)
    except (ObservationError, OSError) as error:
        report(str(error))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
