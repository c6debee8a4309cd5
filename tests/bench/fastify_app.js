// SPDX-License-Identifier: GPL-2.0-or-later
// A canary split as one writes it in Node, for `make bench`: Fastify, onnxruntime-node, both
// models in the process. usage: node fastify_app.js PORT FOLDER_OF_MODELS
const fastify = require("fastify")({ logger: false });
const ort = require("onnxruntime-node");
const [port, folder] = process.argv.slice(2);
const schema = {
  body: {
    type: "object",
    required: ["features"],
    properties: { features: { type: "array", items: { type: "number" }, minItems: 5, maxItems: 5 } },
  },
};

async function main() {
  const options = { intraOpNumThreads: 1, interOpNumThreads: 1 };
  const models = {
    stable: await ort.InferenceSession.create(`${folder}/stable.onnx`, options),
    canary: await ort.InferenceSession.create(`${folder}/canary.onnx`, options),
  };
  fastify.post("/predict", { schema }, async (request) => {
    const arm = Math.random() < 0.1 ? "canary" : "stable";
    const start = performance.now();
    const input = new ort.Tensor("float64", Float64Array.from(request.body.features), [1, 5]);
    const output = await models[arm].run({ features: input });
    return {
      churn_probability: output.probability.data[0],
      model_used: arm,
      latency_ms: performance.now() - start,
    };
  });
  await fastify.listen({ port: Number(port), host: "127.0.0.1" });
}
main();
