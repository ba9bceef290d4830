/** The network in ONNX Runtime: on the graphics card by WebGPU where there is one, else on the processor. */

const RUNTIMES = {
  webgpu: { module: "ort.webgpu.bundle.min.mjs", binary: "ort-wasm-simd-threaded.asyncify.wasm" },
  wasm: { module: "ort.wasm.bundle.min.mjs", binary: "ort-wasm-simd-threaded.wasm" },
};
const MOST_THREADS = 8;

/**
 * Load the runtime and the graph.
 *
 * `device` is "gpu" or "cpu" to insist on it, or null to take what there is.
 */
export async function openNetwork(device) {
  if (device === "cpu" || !(await hasGraphicsCard(device === "gpu"))) return openOn("wasm");
  try {
    return await openOn("webgpu");
  } catch (error) {
    if (device === "gpu") throw error;
    console.warn("WebGPU cannot be used:", error);
    return openOn("wasm");
  }
}

async function openOn(provider) {
  const { module, binary } = RUNTIMES[provider];
  const ort = await import(`./runtime/${module}`);
  ort.env.logLevel = "error";
  ort.env.wasm.wasmPaths = { wasm: new URL(`./runtime/${binary}`, import.meta.url).href };
  // Browsers allow threads only where the server isolates the page; see the guide.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
  const graph = new URL("./model.onnx", import.meta.url).href;
  const session = await ort.InferenceSession.create(graph, { executionProviders: [provider], logSeverityLevel: 3 });
  return {
    device: provider === "webgpu" ? "graphics card" : "processor",
    run: (image, width, height, levels) => run(ort, session, image, width, height, levels),
    close: () => session.release(),
  };
}

/** Restore planes of red, green and blue, values in [0, 1]; the result is not clipped. */
async function run(ort, session, image, width, height, levels) {
  const { restored } = await session.run({
    image: new ort.Tensor("float32", image, [1, 3, height, width]),
    level: new ort.Tensor("float32", Float32Array.from(levels), [levels.length]),
  });
  const pixels = Float32Array.from(await restored.getData());
  restored.dispose();
  return pixels;
}

async function hasGraphicsCard(evenEmulated) {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter) && (evenEmulated || !adapter.info?.isFallbackAdapter);
}
