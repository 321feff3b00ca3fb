// preprocess_input and its inverse in JavaScript, as a program that vggprep can judge:
//
//   vggprep check "command:node examples/port.js {mode} {data_format}" \
//       --inverse "command:node examples/port.js {mode} {data_format} --inverse"
//
// Reads .npy arrays one after another from standard input and writes one for each. With --fault it leaves out
// the swap to BGR in mode caffe.
"use strict";
const fs = require("fs");

const MODES = {
  caffe: { order: [2, 1, 0], divide: 1, mean: [103.939, 116.779, 123.68], std: [1, 1, 1] },
  tf: { order: [0, 1, 2], divide: 127.5, mean: [1, 1, 1], std: [1, 1, 1] },
  torch: { order: [0, 1, 2], divide: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  identity: { order: [0, 1, 2], divide: 1, mean: [0, 0, 0], std: [1, 1, 1] },
};
const TYPES = {
  b1: Uint8Array, u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array,
  u8: BigUint64Array, i8: BigInt64Array, f4: Float32Array, f8: Float64Array,
};

function fail(message) {
  process.stderr.write(`port.js: ${message}\n`);
  process.exit(1);
}

const [mode, format, ...flags] = process.argv.slice(2);
const spec = MODES[mode] || fail(`the mode must be one of ${Object.keys(MODES).join(", ")}; got ${mode}`);
if (format !== "channels_last" && format !== "channels_first") fail(`no such data format: ${format}`);
const inverse = flags.includes("--inverse");
const order = flags.includes("--fault") ? [0, 1, 2] : spec.order;

// The steps for one channel. JavaScript computes in float64; storing the result rounds it once.
function forward(value, channel) {
  return (value / spec.divide - spec.mean[channel]) / spec.std[channel];
}
function backward(value, channel) {
  if (Number.isNaN(value)) fail("NaN is not a pixel value");
  return (value * spec.std[channel] + spec.mean[channel]) * spec.divide; // Uint8ClampedArray rounds and saturates
}

function convert(type, shape, x) {
  const axis = format === "channels_last" ? shape.length - 1 : shape.length - 3;
  if ((shape.length !== 3 && shape.length !== 4) || shape[axis] !== 3) fail(`no RGB images: shape ${shape}`);
  if (mode === "identity" && !inverse) return [type, x];
  const output = type === "f8" ? "f8" : "f4";
  const y = inverse ? new Uint8ClampedArray(x.length) : new TYPES[output](x.length);
  // How far apart a pixel's channels are: next to each other, or a whole plane.
  const stride = format === "channels_last" ? 1 : shape[axis + 1] * shape[axis + 2];
  for (let channel = 0; channel < 3; channel++) {
    const [rgb, own] = [order[channel] * stride, channel * stride];
    for (let start = 0; start < x.length; start += 3 * stride) {
      for (let i = start; i < start + stride; i++) {
        if (inverse) y[i + rgb] = backward(Number(x[i + own]), channel);
        else y[i + own] = forward(Number(x[i + rgb]), channel);
      }
    }
  }
  return [inverse ? "u1" : output, y];
}

// The .npy format: magic, version, length of the header, header, data.
function read(length) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const got = fs.readSync(0, bytes, at, length - at, null);
    if (got === 0) return null;
    at += got;
  }
  return bytes;
}

for (let start; (start = read(10)); ) {
  const header = read(start.readUInt16LE(8)).toString("latin1");
  const type = header.match(/'descr': '[<|]([a-z]\d)'/)?.[1];
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((n) => n.trim()).map(Number);
  if (!TYPES[type] || header.includes("True")) fail(`cannot read this array: ${header.trim()}`);
  const bytes = read(shape.reduce((a, b) => a * b, 1) * TYPES[type].BYTES_PER_ELEMENT);
  const x = new TYPES[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const [output, y] = convert(type, shape, x);
  const text = `{'descr': '${/1$/.test(output) ? "|" : "<"}${output}', 'fortran_order': False, 'shape': (${shape}), }`;
  const head = Buffer.from("\x93NUMPY\x01\x00\x00\x00" + text.padEnd(117) + "\n", "latin1");
  head.writeUInt16LE(head.length - 10, 8);
  const answer = Buffer.concat([head, Buffer.from(y.buffer, y.byteOffset, y.byteLength)]);
  for (let at = 0; at < answer.length; ) at += fs.writeSync(1, answer, at);
}
