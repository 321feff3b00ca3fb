"""``vggprep identify``."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from importlib.util import find_spec
from pathlib import Path

import command_line
import numpy as np
import pytest
from black_boxes import PHOTOGRAPH, Array
from command_line import Done, one_line

import vggprep


def run(*arguments: object) -> Done:
    return command_line.vggprep("identify", *map(str, arguments))


def test_identify_restores_a_file(tmp_path: Path) -> None:
    file, restored = tmp_path / "batch.npy", tmp_path / "original.png"
    np.save(file, vggprep.preprocess_input(PHOTOGRAPH, mode="tf"))
    result = run(file, "--restore", restored)
    assert result.returncode == 0, result.output
    assert "likely, tf" in result.output
    image = pytest.importorskip("PIL.Image")
    assert np.array_equal(np.asarray(image.open(restored)), PHOTOGRAPH)
    again = run(restored)
    assert again.returncode == 0
    assert "raw" in again.output


def test_identify_restores_each_image_of_a_batch(tmp_path: Path) -> None:
    file = tmp_path / "batch.npy"
    np.save(file, vggprep.preprocess_input(np.stack([PHOTOGRAPH, PHOTOGRAPH[::-1]])))
    assert run(file, "--restore", tmp_path / "o.png").returncode == 0
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
    assert run(other, "--restore", picture).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for source, target, what in (
        (other, batch, "not an image"),
        (other, other, "the file that was read"),
        *([(picture, picture, "the file that was read")] if find_spec("PIL") else []),
        (other, tmp_path / "notes.png", "not an image"),
        (other, tmp_path / "empty.png", "not an image"),
        (other, tmp_path / "pipe.png", "not an image"),
        (batch, tmp_path / "p.png", "not an image"),
    ):
        result = run(source, "--restore", target)
        assert result.returncode == 2, result.output
        name = tmp_path / "p-1.png" if target.name == "p.png" else target
        assert result.stderr == f"vggprep: --restore does not overwrite {name}, which is {what}: name another file\n"
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    for new, start in (("o.jpg", b"\xff\xd8\xff\xe0"), ("o.webp", b"RIFF\1\2\3\4WEBPVP8 ")):
        (tmp_path / new).write_bytes(start)
        assert run(other, "--restore", tmp_path / new).returncode == 0
        assert (tmp_path / new).read_bytes() == before[picture]
    monkeypatch.setattr(os, "replace", full_disk)
    result = run(other, "--restore", picture)
    assert (result.returncode, picture.read_bytes()) == (2, before[picture])
    assert "o.png: No space left on device" in result.stderr
    assert not list(tmp_path.glob("*.part"))


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("array", "code", "why"),
    [
        (np.sqrt(np.arange(9216.0).reshape(48, 64, 3)), 1, "its values do not lie as whole grey levels do"),
        (PHOTOGRAPH.astype(np.int8), 1, "integers do not say what was subtracted"),
        (PHOTOGRAPH / 255 - 0.123, 1, "its constants are known up to whole grey levels only"),
        (np.clip(vggprep.preprocess_input(PHOTOGRAPH, mode="torch"), -1, 1), 0, "values are clipped at -1 and 1"),
    ],
)
def test_identify_says_why_it_cannot_restore(tmp_path: Path, array: Array, code: int, why: str) -> None:
    file = tmp_path / "a.npy"
    np.save(file, array)
    assert run(file).returncode == code
    result = run(file, "--restore", tmp_path / "o.png")
    assert result.returncode == 1
    assert f"o.png is not written: {why}" in result.stderr
    assert not (tmp_path / "o.png").exists()


def test_arrays_of_any_layout_on_disk_are_read(tmp_path: Path) -> None:
    array = vggprep.preprocess_input(PHOTOGRAPH, mode="caffe")
    for name, stored in (("f", np.asfortranarray(array)), ("big", array.astype(">f4")), ("half", array.astype("f2"))):
        np.save(tmp_path / f"{name}.npy", stored)
        assert "likely, caffe" in run(tmp_path / f"{name}.npy").output.replace("certain", "likely")
    (tmp_path / "f.npy").rename(tmp_path / "f.bin")
    assert run(tmp_path / "f.bin").returncode == 0


LEVELS = np.arange(600).reshape(20, 30)


@pytest.mark.parametrize(
    ("name", "array", "mode", "what"),
    [
        ("a.png", (LEVELS + 300).astype(np.uint16), None, "PNG image, 16-bit grey"),
        ("a.tif", (LEVELS + 300).astype(np.uint16), None, "TIFF image, 16-bit grey"),
        ("a.tif", (LEVELS / 300 - 1).astype(np.float32), None, "TIFF image, 32-bit float grey"),
        ("a.tif", (LEVELS * 300).astype(np.int32), None, "TIFF image, 32-bit grey"),
        ("a.jpg", PHOTOGRAPH, "CMYK", "JPEG image, CMYK"),
        ("a.png", PHOTOGRAPH, "P", "PNG image, palette"),
        ("a.png", PHOTOGRAPH, "RGBA", "PNG image, RGB with alpha"),
        ("a.png", PHOTOGRAPH, "LA", "PNG image, 8-bit grey with alpha"),
        ("a.png", PHOTOGRAPH, "1", "PNG image, black and white"),
        ("a.gif", PHOTOGRAPH, None, "GIF image of 2 frames, palette"),
    ],
)
def test_other_image_files_are_described_and_not_restored(
    tmp_path: Path, name: str, array: Array, mode: str | None, what: str
) -> None:
    module = pytest.importorskip("PIL.Image")
    image = module.fromarray(array)
    image = image.convert(mode) if mode else image
    frames = {"save_all": True, "append_images": [module.fromarray(255 - array)]} if name == "a.gif" else {}
    image.save(tmp_path / name, **frames)
    result = run(tmp_path / name, "--restore", tmp_path / "o.png")
    assert result.returncode == 1
    assert f"{what}: not one 8-bit RGB image, so its history is not judged" in result.stdout
    assert ("100.0% of its pixels are white: values above 255 are cut" in result.stdout) == ("16-bit" in what)
    assert "o.png is not written: the file does not hold one 8-bit RGB image" in result.stderr
    assert not (tmp_path / "o.png").exists()


def test_16_bits_in_each_of_three_channels_are_seen(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    rows = b"".join(b"\0" + row.tobytes() for row in PHOTOGRAPH.astype(">u2") * 257 + 3)
    head = struct.pack(">IIBBBBB", 32, 24, 16, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))
    result = run(tmp_path / "a.png")
    assert (result.returncode, "PNG image, 16-bit RGB" in result.output) == (1, True)


@pytest.mark.thorough
@pytest.mark.no_cover
def test_identify_takes_targets() -> None:
    result = run("vggprep")
    assert result.returncode == 0
    assert "mode torch, level exact" in result.output
    assert run("vggprep.faults.arithmetic:folded").returncode == 1


def test_bad_files_are_one_line_and_code_2(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "html.npy").write_text("<html>", encoding="utf-8")
    (tmp_path / "no.png").write_text("no image", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("BGR", encoding="utf-8")
    (tmp_path / "nothing").touch()
    np.savez(tmp_path / "a.npz", a=np.zeros((2, 2, 3)))
    (tmp_path / "a.pt").write_bytes(b"PK")
    (tmp_path / "a.pkl").write_bytes(b"\x80\4")
    (tmp_path / "bfloat16.npy").write_bytes(
        b"\x93NUMPY\1\0\x76\0" + b"{'descr': '<V2', 'fortran_order': False, 'shape': (1, 1, 3), }".ljust(118)
    )
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    for arguments, words in (
        ([tmp_path / "empty.npy"], "is empty"),
        ([tmp_path / "html.npy"], "is not a .npy array"),
        ([tmp_path / "flat.npy"], "an image has 3 axes, a batch 4; this array has shape (4, 4)"),
        ([tmp_path / "text.npy"], "holds '<U1', not"),
        ([tmp_path / "gone.npy"], "No such file"),
        ([tmp_path / "gone"], "No such file"),
        ([tmp_path / "gone.npz"], "No such file"),
        ([tmp_path / "notes.txt"], "is neither a .npy array nor an image: it begins with 'BGR'"),
        ([tmp_path / "nothing"], "is empty; name a .npy array or an image"),
        ([tmp_path], "is a folder; name a .npy array or an image in it"),
        ([tmp_path / "a.npz"], "save one with numpy.save('x.npy', numpy.load(FILE)['NAME'])"),
        ([tmp_path / "a.pt"], "save the tensor with numpy.save('x.npy', tensor.numpy())"),
        ([tmp_path / "a.pkl"], "a pickle is not opened, for it may run code"),
        ([tmp_path / "bfloat16.npy"], "as NumPy saves bfloat16: save array.astype('float32')"),
        ([os.devnull], "is no regular file"),
        ([tmp_path / "no.png"], "is not an image" if find_spec("PIL") else "needs Pillow"),
        (["vggprep", "--restore", tmp_path / "x.png"], "--restore needs a FILE"),
        (["no.such.module:f"], "there is no module"),
    ):
        assert words in one_line(run(*arguments)), arguments
