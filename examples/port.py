"""preprocess_input and its inverse in plain NumPy, as a program that vggprep can judge.

    vggprep check "command:python examples/port.py {mode} {data_format}" \
        --inverse "command:python examples/port.py {mode} {data_format} --inverse"

Reads .npy arrays one after another from standard input and writes one for each. With --fault it subtracts caffe's
means in RGB order after the swap to BGR.
"""

import io
import sys

import numpy as np

# Channel order of the output, divisor, means and standard deviations in that order.
MODES = {
    "caffe": ([2, 1, 0], 1.0, [103.939, 116.779, 123.68], [1.0, 1.0, 1.0]),
    "tf": ([0, 1, 2], 127.5, [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),
    "torch": ([0, 1, 2], 255.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


def preprocess(x, mode, fault=False):
    """Channels-last images in floating point, from RGB images with values 0..255."""
    if mode == "identity":
        return x
    order, divisor, mean, std = MODES[mode]
    dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
    mean = np.array(mean[::-1] if fault and mode == "caffe" else mean, dtype)
    return (x[..., order].astype(dtype) / dtype.type(divisor) - mean) / np.array(std, dtype)


def restore(y, mode):
    """RGB images as uint8 from what ``preprocess`` gives."""
    if np.isnan(y).any():
        raise ValueError("NaN is not a pixel value")
    if mode == "identity":
        x = y
    else:
        order, divisor, mean, std = MODES[mode]
        x = (y * np.array(std, y.dtype) + np.array(mean, y.dtype)) * y.dtype.type(divisor)
        x = x[..., np.argsort(order)]
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)  # round, not truncate: 99.99999 is 100


def read(stream):
    """The next array, or None at the end of the input."""
    if not stream.peek(1):
        return None
    version = np.lib.format.read_magic(stream)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
    shape, fortran_order, dtype = read_header(stream)
    data = stream.read(int(np.prod(shape)) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


def main():
    """Answer arrays until there are no more."""
    mode, data_format, *flags = sys.argv[1:]
    if mode not in (*MODES, "identity"):
        raise ValueError(f"no such mode: {mode}")
    axis = {"channels_last": -1, "channels_first": -3}[data_format]
    while (x := read(sys.stdin.buffer)) is not None:
        if x.ndim not in (3, 4) or x.shape[axis] != 3:
            raise ValueError(f"no RGB images in {data_format}: shape {x.shape}")
        images = np.moveaxis(x, axis, -1)
        result = restore(images, mode) if "--inverse" in flags else preprocess(images, mode, "--fault" in flags)
        answer = io.BytesIO()
        np.save(answer, np.ascontiguousarray(np.moveaxis(result, -1, axis)))
        sys.stdout.buffer.write(answer.getvalue())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
