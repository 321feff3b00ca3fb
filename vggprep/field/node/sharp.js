// Pixels out of sharp with raw(), then a loop, image by image, as its users write it. sharp returns bytes only.
"use strict";
const sharp = require("sharp");
const { serve } = require("./npy.js");

sharp.concurrency(1);
serve(async (mode) => async (x, shape) => {
  if (!(x instanceof Uint8Array)) throw new Error("bytes only");
  const [height, width] = shape.slice(-3);
  const size = height * width * 3;
  const y = new Float32Array(x.length);
  for (let start = 0; start < x.length; start += size) {
    const image = sharp(x.subarray(start, start + size), { raw: { width, height, channels: 3 } });
    const pixels = await image.removeAlpha().raw().toBuffer();
    for (let i = 0; i < size; i += 3) {
      for (let c = 0; c < 3; c++) {
        const value = pixels[i + (mode.name === "caffe" ? 2 - c : c)];
        y[start + i + c] = (value / mode.divide - mode.mean[c]) / mode.std[c];
      }
    }
  }
  return y;
});
