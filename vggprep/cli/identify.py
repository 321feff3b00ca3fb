"""``vggprep identify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np
import numpy.typing as npt

from vggprep.cli.common import fail, in_process_option, output_option, target_options, writing
from vggprep.identification import png
from vggprep.identification.arrays import identify_array
from vggprep.identification.functions import identify as identify_function
from vggprep.implementations import npy
from vggprep.implementations.targets import TargetSpec, load_all

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@click.command()
@click.argument("target", metavar="TARGET|FILE")
@output_option(
    "--restore", metavar="OUT.png", help="Of a FILE: write the original pixels, if they can be recovered exactly."
)
@target_options
@in_process_option
def identify(target: str, restore: Path | None, load_options: dict[str, Any]) -> None:
    """Name the mode, layout and any known fault of a black box, or the history of an array.

    TARGET is as in vggprep check; FILE is a .npy array or an image. The exit code is 0 for one of the modes or its
    inverse (the one asked for, if it takes a mode) and for an array whose origin is known, else 1.

    \b
    vggprep identify mymodule:preprocess
    vggprep identify "command:node port.js {mode} {data_format}"
    vggprep identify batch.npy --restore original.png
    """
    path = Path(target)
    if path.suffix.lower() in (".npy", *_IMAGES) and ":" not in target:
        _identify_file(path, restore)
    if restore is not None:
        fail("--restore needs a FILE: a function has no image to restore")
    found = [identify_function(each) for each in load_all(TargetSpec((target,), **load_options))]
    for each in found:
        click.echo(repr(each))
    raise SystemExit(0 if all(each.is_right for each in found) else 1)


def _identify_file(path: Path, restore: Path | None) -> NoReturn:
    try:
        array = npy.read(path) if path.suffix.lower() == ".npy" else _image(path)
        found = identify_array(array)
    except npy.NpyError as error:
        fail(f"{path} {error}")
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror or error}")
    except (TypeError, ValueError) as error:
        fail(f"{path}: {error}")
    click.echo(repr(found))
    if restore is not None:
        if found.pixels is None:
            click.echo(f"vggprep: {restore.name} is not written: {found.why_not}", err=True)
            raise SystemExit(1)
        images = found.pixels if found.pixels.ndim == 4 else found.pixels[None]
        names = [restore.with_stem(f"{restore.stem}-{n}") if len(images) > 1 else restore for n in range(len(images))]
        for name in names:
            if name.exists() and (name.samefile(path) or not png.is_image(name)):
                what = "the file that was read" if name.samefile(path) else "not an image"
                fail(f"--restore does not overwrite {name}, which is {what}: name another file")
        with writing(restore):
            for name, image in zip(names, images, strict=True):
                png.write(name, image)
        click.echo(f"the original pixels are in {', '.join(name.name for name in names)}")
    raise SystemExit(0 if found.sure != "guess" else 1)


def _image(path: Path) -> npt.NDArray[Any]:
    """An image file as RGB, through Pillow."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        fail(f"{path}: reading image files needs Pillow: pip install pillow; or give a .npy file")
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        fail(f"{path} is not an image that Pillow can read")
