// TensorFlow.js on the backend that TFJS_BACKEND names, cpu (plain JavaScript) or wasm.
"use strict";
const tf = require("@tensorflow/tfjs");
const { serve } = require("./npy.js");

serve(async (mode, format) => {
  if (process.env.TFJS_BACKEND === "wasm") {
    const wasm = require("@tensorflow/tfjs-backend-wasm");
    wasm.setThreadsCount(1);
    await tf.setBackend("wasm");
  } else {
    await tf.setBackend("cpu");
  }
  await tf.ready();
  const broadcast = format === "channels_last" ? [3] : [3, 1, 1];
  const mean = tf.tensor(mode.mean, broadcast);
  const std = tf.tensor(mode.std, broadcast);
  return async (x, shape) => {
    const result = tf.tidy(() => {
      let t = tf.tensor(x, shape).toFloat();
      if (mode.name === "caffe") return t.reverse(shape.length + (format === "channels_last" ? -1 : -3)).sub(mean);
      t = t.div(mode.divide).sub(mean);
      return mode.name === "tf" ? t : t.div(std);
    });
    const y = await result.data();
    result.dispose();
    return y;
  };
});
