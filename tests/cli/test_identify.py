"""``vggprep identify``."""

from __future__ import annotations

import errno
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from black_boxes import PHOTOGRAPH
from click.testing import CliRunner, Result

import vggprep
from vggprep.cli import main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["identify", *map(str, arguments)])


def test_identify_restores_a_file(tmp_path: Path) -> None:
    file, restored = tmp_path / "batch.npy", tmp_path / "original.png"
    np.save(file, vggprep.preprocess_input(PHOTOGRAPH, mode="tf"))
    result = run(file, "--restore", restored)
    assert result.exit_code == 0, result.output
    assert "likely, tf" in result.output
    image = pytest.importorskip("PIL.Image")
    assert np.array_equal(np.asarray(image.open(restored)), PHOTOGRAPH)
    again = run(restored)
    assert again.exit_code == 0
    assert "raw" in again.output


def test_identify_restores_each_image_of_a_batch(tmp_path: Path) -> None:
    file = tmp_path / "batch.npy"
    np.save(file, vggprep.preprocess_input(np.stack([PHOTOGRAPH, PHOTOGRAPH[::-1]])))
    assert run(file, "--restore", tmp_path / "o.png").exit_code == 0
    assert (tmp_path / "o-0.png").exists()
    assert (tmp_path / "o-1.png").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_identify_overwrites_images_only_and_writes_them_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, other, picture = tmp_path / "batch.npy", tmp_path / "other.npy", tmp_path / "o.png"
    np.save(batch, vggprep.preprocess_input(np.stack([PHOTOGRAPH, PHOTOGRAPH])))
    np.save(other, vggprep.preprocess_input(PHOTOGRAPH))
    (tmp_path / "notes.png").write_text("BGR", encoding="utf-8")
    (tmp_path / "p-1.png").mkdir()
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    assert run(other, "--restore", picture).exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for source, target, what in (
        (other, batch, "not an image"),
        (other, other, "the file that was read"),
        (picture, picture, "the file that was read"),
        (other, tmp_path / "notes.png", "not an image"),
        (other, tmp_path / "empty.png", "not an image"),
        (other, tmp_path / "pipe.png", "not an image"),
        (batch, tmp_path / "p.png", "not an image"),
    ):
        result = run(source, "--restore", target)
        assert result.exit_code == 2, result.output
        name = tmp_path / "p-1.png" if target.name == "p.png" else target
        assert result.stderr == f"vggprep: --restore does not overwrite {name}, which is {what}: name another file\n"
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    for new, start in (("o.jpg", b"\xff\xd8\xff\xe0"), ("o.webp", b"RIFF\1\2\3\4WEBPVP8 ")):
        (tmp_path / new).write_bytes(start)
        assert run(other, "--restore", tmp_path / new).exit_code == 0
        assert (tmp_path / new).read_bytes() == before[picture]
    monkeypatch.setattr(os, "replace", full_disk)
    result = run(other, "--restore", picture)
    assert (result.exit_code, picture.read_bytes()) == (2, before[picture])
    assert "o.png: No space left on device" in result.stderr
    assert not list(tmp_path.glob("*.part"))


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_identify_says_why_it_cannot_restore(tmp_path: Path) -> None:
    file = tmp_path / "resized.npy"
    np.save(file, vggprep.preprocess_input((PHOTOGRAPH + np.roll(PHOTOGRAPH, 1)) / 3))
    result = run(file, "--restore", tmp_path / "o.png")
    assert result.exit_code == 1
    assert "is not written: its values are not those of whole pixels" in result.stderr
    assert not (tmp_path / "o.png").exists()


def test_identify_takes_targets() -> None:
    result = run("vggprep")
    assert result.exit_code == 0
    assert "mode torch, level exact" in result.output
    assert run("vggprep.faults.arithmetic:folded").exit_code == 1


def test_bad_files_are_one_line_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "html.npy").write_text("<html>", encoding="utf-8")
    (tmp_path / "no.png").write_text("no image", encoding="utf-8")
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    for arguments, words in (
        ([tmp_path / "empty.npy"], "is empty"),
        ([tmp_path / "html.npy"], "is not a .npy array"),
        ([tmp_path / "flat.npy"], "an image has 3 axes, a batch 4; this array has shape (4, 4)"),
        ([tmp_path / "text.npy"], "holds '<U1', not"),
        ([tmp_path / "gone.npy"], "No such file"),
        ([tmp_path / "no.png"], "is not an image" if find_spec("PIL") else "needs Pillow"),
        (["vggprep", "--restore", tmp_path / "x.png"], "--restore needs a FILE"),
        (["no.such.module:f"], "there is no module"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
