import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

/** The files that the page is built from, in a fixed order. */
function sources(folder = ""): string[] {
  const entries = readdirSync(join(import.meta.dirname, folder), { withFileTypes: true });
  return entries
    .filter(({ name }) => name !== "node_modules")
    .flatMap((entry) => (entry.isDirectory() ? sources(`${folder}${entry.name}/`) : [`${folder}${entry.name}`]))
    .sort();
}

/** Packages whose code or icons are in the bundle, and whose licences therefore go with it. */
const BUNDLED = ["preact", "@preact/signals", "@preact/signals-core", "lucide-static"];

function licences(): string {
  return BUNDLED.map((name) => {
    const text = readFileSync(join(import.meta.dirname, "node_modules", name, "LICENSE"), "utf8");
    return `${name}\n${"-".repeat(name.length)}\n\n${text.trim()}\n`;
  }).join("\n\n");
}

/** Write beside the page what it was built from: a test then tells without Node whether it is up to date. */
function record(): Plugin {
  return {
    name: "record",
    generateBundle() {
      const hash = createHash("sha256");
      for (const path of sources()) hash.update(`${path}\n`).update(readFileSync(join(import.meta.dirname, path)));
      this.emitFile({ type: "asset", fileName: "assets/licences.txt", source: licences() });
      this.emitFile({ type: "asset", fileName: "sources.sha256", source: `${hash.digest("hex")}\n` });
    },
  };
}

export default defineConfig({
  base: "./", // the page may lie below a path of another site
  build: {
    outDir: "../src/hyperrestore/web/static",
    emptyOutDir: true,
    target: "es2022",
    cssTarget: ["chrome123", "firefox120", "safari17.5"], // have light-dark()
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        entryFileNames: "assets/page.js", // no hash: the server lets no browser keep an older one
        assetFileNames: "assets/page[extname]",
      },
    },
  },
  plugins: [record()],
});
