// How the programs of this folder are called: node PROGRAM MODE DATA_FORMAT [--time]
//
// Without --time, .npy arrays come in on standard input and an answer for each goes out (docs/programs.md). With it, one
// array comes in, then bytes: for each, the function runs so many times, and the nanoseconds of each run go out as .npy.
"use strict";
const fs = require("fs");

const MODES = {
  caffe: { divide: 1, mean: [103.939, 116.779, 123.68], std: [1, 1, 1] },
  tf: { divide: 127.5, mean: [1, 1, 1], std: [1, 1, 1] },
  torch: { divide: 255, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
};
const TYPES = { u1: Uint8Array, f4: Float32Array };

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function read(length) {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; ) {
    const got = fs.readSync(0, bytes, at, length - at, null);
    if (got === 0) return null;
    at += got;
  }
  return bytes;
}

function array() {
  const start = read(10);
  if (start === null) return null;
  const header = read(start.readUInt16LE(8)).toString("latin1");
  const type = header.match(/'descr': '[<|]([a-z]\d)'/)?.[1];
  const shape = header.match(/'shape': \(([^)]*)\)/)[1].split(",").filter((n) => n.trim()).map(Number);
  if (!TYPES[type] || header.includes("True")) fail(`no bytes and no float32: ${header.trim()}`);
  const bytes = read(shape.reduce((a, b) => a * b, 1) * TYPES[type].BYTES_PER_ELEMENT);
  return [new TYPES[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)), shape];
}

function write(type, shape, data) {
  const text = `{'descr': '<${type}', 'fortran_order': False, 'shape': (${shape},), }`;
  const head = Buffer.from("\x93NUMPY\x01\x00\x00\x00" + text.padEnd(117) + "\n", "latin1");
  head.writeUInt16LE(head.length - 10, 8);
  const answer = Buffer.concat([head, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
  for (let at = 0; at < answer.length; ) at += fs.writeSync(1, answer, at);
}

// build(mode, format) makes apply(x, shape), which returns a promise of a Float32Array.
exports.serve = async function (build) {
  const [mode, format, ...flags] = process.argv.slice(2);
  const apply = await build({ name: mode, ...(MODES[mode] || fail(`no such mode: ${mode}`)) }, format);
  const last = format === "channels_last";
  for (let asked; (asked = array()); ) {
    const [x, shape] = asked;
    if ((shape.length !== 3 && shape.length !== 4) || shape.at(last ? -1 : -3) !== 3) fail(`no RGB images: shape ${shape}`);
    if (!flags.includes("--time")) {
      write("f4", shape, await apply(x, shape));
      continue;
    }
    for (let rounds; (rounds = read(1)); ) {
      const seconds = new Float64Array(rounds[0]);
      for (let n = 0; n < seconds.length; n++) {
        const start = process.hrtime.bigint();
        await apply(x, shape);
        seconds[n] = Number(process.hrtime.bigint() - start);
      }
      write("f8", [seconds.length], seconds);
    }
  }
};
