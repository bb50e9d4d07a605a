// Builds the page into collector/static, each file with what it is when compressed beside it.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const OUT = process.env["STUDIO_OUT"] ?? "../collector/static";
const COMPRESSED = /\.(js|css|html|svg|json)$/;

function compress(): Plugin {
  return {
    name: "compress",
    apply: "build",
    closeBundle() {
      for (const entry of readdirSync(OUT, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !COMPRESSED.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const bytes = readFileSync(path);
        writeFileSync(path + ".br", brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }));
        writeFileSync(path + ".gz", gzipSync(bytes, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  base: "/",
  plugins: [compress()],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2023",
    // Data: addresses of images are allowed by the policy, those of scripts and styles are not.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
