"""Three ways back from VGG19's preprocessing: the two that are copied most, in our own words, and one that holds.

vggprep check --inverse inverses:in_place --mode caffe
vggprep check --inverse inverses:truncating --mode caffe
vggprep check --inverse inverses:rounding --mode caffe
"""

import numpy as np

MEANS = {0: 103.939, 1: 116.779, 2: 123.68}  # blue, green, red


def in_place(y, data_format="channels_first"):
    """Add each mean to its channel, in the array that was given, and flip BGR to RGB.

    The traps: a channels-last image under the default loses its first three rows to the means and comes back upside
    down; the array given is overwritten, so a second call adds the means again; what is returned is a view of it.
    """
    if data_format == "channels_first":
        for channel, mean in MEANS.items():
            y[..., channel, :, :] += mean
        return y[..., ::-1, :, :]
    for channel, mean in MEANS.items():
        y[..., channel] += mean
    return y[..., ::-1]


def truncating(y):
    """Copy, drop the batch axis of a single image, add the means, flip, clip, and cut off the fractions.

    The traps: 99.99999 becomes 99, half a grey level is lost on average once an image was resized, NaN becomes 0,
    and the result of a batch of one has another rank than the batch.
    """
    x = y.copy()
    if x.ndim == 4 and len(x) == 1:
        x = x[0]
    x = x + list(MEANS.values())
    return np.clip(x[..., ::-1], 0, 255).astype(np.uint8)


def rounding(y):
    """Add the means in the dtype of the array, flip, round, clip; and leave the argument alone."""
    if np.isnan(y).any():
        raise ValueError("NaN is not a pixel value")
    x = y + np.array(list(MEANS.values()), y.dtype)
    return np.clip(np.rint(x[..., ::-1]), 0, 255).astype(np.uint8)
