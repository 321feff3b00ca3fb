"""``vggprep identify``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal, NoReturn

import click
import numpy as np
import numpy.typing as npt

from vggprep.cli.common import (
    fail,
    html_option,
    in_process_option,
    mode_option,
    output_option,
    target_options,
    write_page,
    writing,
)
from vggprep.identification import png
from vggprep.identification.arrays import ArrayIdentification, identify_array
from vggprep.identification.functions import identify as identify_function
from vggprep.implementations import npy
from vggprep.implementations.keras import PACKAGES
from vggprep.implementations.targets import TargetSpec, load_all
from vggprep.spec import ModeName

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@click.command()
@click.argument("target", metavar="TARGET|FILE")
@output_option(
    "--restore", metavar="OUT.png", help="Of a FILE: write the original pixels, if they can be recovered exactly."
)
@mode_option(
    "A mode that it may be, too (repeatable): a configuration file, or a name. A function that takes a mode is asked "
    "for these alone."
)
@html_option
@target_options
@in_process_option
def identify(
    target: str, restore: Path | None, modes: tuple[ModeName, ...], page: Path | None, load_options: dict[str, Any]
) -> None:
    """Name the mode, layout and any known fault of a black box, or the history of an array.

    TARGET is as in vggprep check; FILE is a .npy array or an image. The exit code is 0 for a mode of Keras's, a
    published one or one of --mode, or its inverse (the one asked for, if it takes a mode), and for an array of known
    origin, else 1.

    \b
    vggprep identify mymodule:preprocess
    vggprep identify "command:node port.js {mode} {data_format}"
    vggprep identify batch.npy --restore original.png
    vggprep identify batch.npy --mode preprocessor_config.json
    """
    if _is_file(target):
        _identify_file(Path(target), restore, modes, page)
    if restore is not None:
        fail("--restore needs a FILE: a function has no image to restore")
    implementations = load_all(TargetSpec((target,), **load_options))
    found = [identify_function(each, modes or None) for each in implementations]
    for each in found:
        click.echo(repr(each))
    if page is not None:
        from vggprep.pages import identify as of_box

        write_page(page, lambda typed: of_box.of_functions(list(zip(implementations, found, strict=True)), typed))
    raise SystemExit(0 if all(each.is_right for each in found) else 1)


_SUFFIXES = (".npy", ".npz", ".pt", ".pth", ".pkl", ".pickle", ".txt", ".csv", *_IMAGES)


def _is_file(target: str) -> bool:
    """Whether it names a FILE: one that is there, or whose name is that of an array or an image."""
    if os.path.isfile(target):
        return True
    is_target = ":" in target or target in ("reference", "vggprep", *PACKAGES)
    named = os.sep in target or Path(target).suffix.lower() in _SUFFIXES
    return not is_target and (named or os.path.exists(target))


def _identify_file(path: Path, restore: Path | None, modes: tuple[ModeName, ...], page: Path | None) -> NoReturn:
    try:
        found = _found(path, modes)
    except npy.NpyError as error:
        fail(f"{path} {error}")
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror or error}")
    except (TypeError, ValueError) as error:
        fail(f"{path}: {error}")
    click.echo(found if isinstance(found, str) else repr(found))
    if page is not None:
        from vggprep.pages import identify as of_box

        write_page(page, lambda typed: of_box.of_array(path.name, found, typed))
    if isinstance(found, str) or (restore is not None and found.pixels is None):
        if restore is not None:
            why = "the file does not hold one 8-bit RGB image" if isinstance(found, str) else found.why_not
            click.echo(f"vggprep: {restore.name} is not written: {why}", err=True)
        raise SystemExit(1)
    if restore is not None:
        assert found.pixels is not None
        images = found.pixels if found.pixels.ndim == 4 else found.pixels[None]
        names = [restore.with_stem(f"{restore.stem}-{n}") if len(images) > 1 else restore for n in range(len(images))]
        for name in names:
            if name.exists() and (name.samefile(path) or not png.is_image(name)):
                what = "the file that was read" if name.samefile(path) else "not an image"
                fail(f"--restore does not overwrite {name}, which is {what}: name another file")
        with writing(restore):
            for name, image in zip(names, images, strict=True):
                png.write(name, image)
        click.echo(f"the pixels are in {', '.join(name.name for name in names)}, if that is what it is")
    raise SystemExit(0 if found.sure != "guess" and found.name else 1)


_ELSEWHERE = {
    ".npz": "a .npz file holds arrays by name: save one with numpy.save('x.npy', numpy.load(FILE)['NAME'])",
    ".pt": "a pickle is not opened, for it may run code: save the tensor with numpy.save('x.npy', tensor.numpy())",
    ".pkl": "a pickle is not opened, for it may run code: save the array with numpy.save('x.npy', array)",
    ".py": "a program is named as module:function",
    ".onnx": "a model is named as onnx:FILE",
    ".tflite": "a model is named as tflite:FILE",
    ".keras": "a model is named as keras-model:FILE",
    ".h5": "a model is named as keras-model:FILE",
}
_ELSEWHERE |= {".pth": _ELSEWHERE[".pt"], ".pickle": _ELSEWHERE[".pkl"], ".joblib": _ELSEWHERE[".pkl"]}


def _found(path: Path, modes: tuple[ModeName, ...]) -> ArrayIdentification | str:
    """What an array or an 8-bit RGB image has been through; of another image, what it is."""
    if path.is_dir():
        raise ValueError("it is a folder; name a .npy array or an image in it (a SavedModel as savedmodel:DIR)")
    if path.stat() and not path.is_file():
        raise ValueError("it is no regular file; save the array as .npy")
    if path.suffix.lower() in _ELSEWHERE:
        raise ValueError(_ELSEWHERE[path.suffix.lower()])
    with path.open("rb") as file:
        start = file.read(npy.LONGEST_HEADER + 12)
    if path.suffix.lower() == ".npy" or start.startswith(npy.MAGIC):
        return identify_array(_memmap(path, start), modes)
    if not start:
        raise npy.NpyError("is empty; name a .npy array or an image")
    if path.suffix.lower() not in _IMAGES and not png.is_image(path):
        raise npy.NpyError(f"is neither a .npy array nor an image: it begins with {npy.shown(start)}")
    return _image(path)


def _memmap(path: Path, start: bytes) -> npt.NDArray[Any]:
    """The array in a ``.npy`` file, read as it is used."""
    if b"'<V2'" in start[:128]:
        raise npy.NpyError("holds '<V2', as NumPy saves bfloat16: save array.astype('float32')")
    header = npy.parse_header(start) if start else None
    if header is None or header.nbytes == 0 or path.stat().st_size != header.offset + header.nbytes:
        return npy.read(path)  # which says what is wrong, or has no data
    order: Literal["C", "F"] = "F" if header.fortran_order else "C"
    return np.memmap(path, header.dtype, "r", header.offset, header.shape, order)


_MODES = {
    "P": "palette",
    "PA": "palette with alpha",
    "RGBA": "RGB with alpha",
    "LA": "8-bit grey with alpha",
    "CMYK": "CMYK",
    "1": "black and white",
    "F": "32-bit float grey",
    "I": "32-bit grey",
    "I;16": "grey",
    "I;16B": "grey",
    "LAB": "CIELAB",
}


def _image(path: Path) -> ArrayIdentification | str:
    """What an image file holds; of 8-bit RGB, what its pixels have been through."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        fail(f"{path}: reading image files needs Pillow: pip install pillow; or give a .npy file")
    try:
        with Image.open(path) as image:
            wide = any(re.search("(I|L|RGB|RGBA|RGBX);16", str(tile)) for tile in image.tile)
            frames = getattr(image, "n_frames", 1)
            transparent = "transparency" in image.info
            what = f"{'16-bit ' if wide else ''}{_MODES.get(image.mode, image.mode)}"
            what += " with a transparent colour" if transparent else ""
            rgb = np.asarray(image.convert("RGB"))
            mode, kind = image.mode, image.format
    except UnidentifiedImageError:
        fail(f"{path} is not an image that Pillow can read; save its array as .npy")
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:
        fail(f"{path} is not an image that Pillow can read: {error}")
    if mode in ("RGB", "L") and not (wide or transparent or frames > 1):
        return identify_array(rgb)
    several = f" of {frames} frames" if frames > 1 else ""
    white = float((rgb == 255).all(axis=-1).mean())
    lines = [
        f"{kind} image{several}, {what}: not one 8-bit RGB image, so its history is not judged",
        f"  read as RGB, as keras.utils.load_img does, {white:.1%} of its pixels are white"
        + (": values above 255 are cut" if white and mode[0] in "IF" else ""),
        "  nothing is restored; to identify its values, save them as .npy",
    ]
    return "\n".join(lines)
