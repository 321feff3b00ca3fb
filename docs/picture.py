"""The picture at the top of README.md: a photograph, what ``preprocess_input`` makes of it, and the way back.

``pip install scikit-image``, then ``python docs/picture.py`` writes docs/picture.png. The photograph is NASA's of the
astronaut Eileen Collins, in the public domain, as scikit-image distributes it (``skimage.data.astronaut``).
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

import vggprep

SIDE, GAP, BELOW = 208, 8, 26
photograph = np.asarray(Image.fromarray(data.astronaut()[:400, 30:430]).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
y = vggprep.preprocess_input(photograph, mode="caffe")
shown = np.rint((y - y.min()) / (y.max() - y.min()) * 255).astype(np.uint8)  # as keras.utils.array_to_img scales it
restored = vggprep.deprocess_input(y, mode="caffe")
assert np.array_equal(restored, photograph)

panels = {"the photograph": photograph, "preprocessed for VGG19": shown, "deprocess_input of that": restored}
picture = Image.new("RGB", (3 * SIDE + 2 * GAP, SIDE + BELOW), "white")
draw = ImageDraw.Draw(picture)
for number, (caption, panel) in enumerate(panels.items()):
    left = number * (SIDE + GAP)
    picture.paste(Image.fromarray(panel), (left, 0))
    draw.text((left + SIDE / 2, SIDE + 5), caption, "black", ImageFont.load_default(14), "ma")
picture.save(Path(__file__).with_suffix(".png"), optimize=True)
