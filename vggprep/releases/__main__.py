"""``python -m vggprep.releases rebuild``: make the record from nothing."""

from vggprep.releases.rebuild import main

if __name__ == "__main__":
    main(prog_name="python -m vggprep.releases")
