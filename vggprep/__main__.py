"""``python -m vggprep`` is ``vggprep``."""

from vggprep.cli import main

if __name__ == "__main__":
    main(prog_name="vggprep")
