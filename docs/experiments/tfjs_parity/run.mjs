// Runs the filled graph in TensorFlow.js and writes what its layers and outputs are.
//
//   node run.mjs FOLDER cpu|wasm
//
// FOLDER is what fill.py wrote. FOLDER/BACKEND gets one raw little-endian float32 file for each
// picture and tensor, and outputs.json with their node names, shapes and ranges.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import * as tf from "@tensorflow/tfjs-core";
import { loadGraphModel } from "@tensorflow/tfjs-converter";

const BACKBONE = "FeatureExtractor/MobilenetV2/";
const OUTPUTS = {
  preprocessed: "Preprocessor/sub",
  conv: `${BACKBONE}Conv/Relu6`,
  layer_4: `${BACKBONE}expanded_conv_3/project/BatchNorm/batchnorm/add_1`,
  layer_6: `${BACKBONE}expanded_conv_5/ArithmeticOptimizer/AddOpsRewrite_add`,
  layer_15_expansion: `${BACKBONE}expanded_conv_13/expand/Relu6`,
  layer_19: `${BACKBONE}Conv_1/Relu6`,
  last_level: `${BACKBONE}layer_19_2_Conv2d_5_3x3_s2_128/Relu6`,
  box_deltas: "Squeeze",
  class_logits: "concat_1",
  scores: "Postprocessor/convert_scores",
  scores_without_background: "Postprocessor/Slice",
  anchors: "Postprocessor/ExpandDims",
  decoded_boxes: "Postprocessor/ExpandDims_1",
};

async function chooseBackend(name) {
  await import(`@tensorflow/tfjs-backend-${name}`);
  if (!(await tf.setBackend(name))) throw new Error(`no backend ${name}`);
}

async function loadModel(folder) {
  const { modelTopology, weightsManifest } = JSON.parse(
    readFileSync(path.join(folder, "model.json")),
  );
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const weightData = new Uint8Array(readFileSync(path.join(folder, "weights.bin"))).buffer;
  return loadGraphModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }));
}

// A loop: Math.min(...values) takes some 100,000 values at most.
function range(values) {
  let [low, high, sum, squares] = [Infinity, -Infinity, 0, 0];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return { min: low, max: high, mean, std: Math.sqrt(squares / values.length - mean * mean) };
}

const [folder, backend] = process.argv.slice(2);
await chooseBackend(backend);
const model = await loadModel(folder);
const out = path.join(folder, backend);
mkdirSync(out, { recursive: true });
const versions = { node: process.version, backend };
for (const name of ["core", "converter", `backend-${backend}`]) {
  const file = createRequire(import.meta.url).resolve(`@tensorflow/tfjs-${name}/package.json`);
  versions[`@tensorflow/tfjs-${name}`] = JSON.parse(readFileSync(file)).version;
}
const { seed, shapes } = JSON.parse(readFileSync(path.join(folder, "pictures.json")));
const record = { seed, versions, nodes: OUTPUTS, pictures: {} };
for (const [name, shape] of Object.entries(shapes)) {
  const bytes = new Int32Array(readFileSync(path.join(folder, `${name}.raw`)));
  const picture = tf.tensor4d(bytes, [1, ...shape], "int32");
  const started = performance.now();
  const found = await model.executeAsync({ image_tensor: picture }, Object.values(OUTPUTS));
  console.log(`${name} ${shape.join("x")}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  record.pictures[name] = {};
  for (const [position, output] of Object.keys(OUTPUTS).entries()) {
    const values = await found[position].data();
    const file = `${name}.${output}.f32`;
    writeFileSync(path.join(out, file), Buffer.from(values.buffer, values.byteOffset, 4 * values.length));
    record.pictures[name][output] = { file, shape: found[position].shape, ...range(values) };
    const { shape: size, min, max, mean, std } = record.pictures[name][output];
    const numbers = [min, max, mean, std].map((value) => value.toPrecision(4)).join(" ");
    console.log(`  ${output} [${size}]: min max mean std ${numbers}`);
  }
}
writeFileSync(path.join(out, "outputs.json"), JSON.stringify(record, null, 1));
