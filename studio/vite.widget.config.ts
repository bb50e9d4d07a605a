// Builds the notebook's widget: one module, its styles within it, into the package where the kernel reads it.

import { defineConfig, type Plugin } from "vite";

const OUT = process.env["WIDGET_OUT"] ?? "../runyard/widgets/static";

/** Puts the text of all styles where the module names it. */
function stylesWithin(): Plugin {
  return {
    name: "styles-within",
    apply: "build",
    enforce: "post",
    generateBundle(_options, bundle) {
      const styles = Object.values(bundle).filter((one) => one.fileName.endsWith(".css"));
      const text = styles.map((one) => (one.type === "asset" ? String(one.source) : "")).join("\n");
      for (const one of styles) delete bundle[one.fileName];
      for (const one of Object.values(bundle)) {
        if (one.type === "chunk") one.code = one.code.replaceAll("WIDGET_STYLES", () => JSON.stringify(text));
      }
    },
  };
}

export default defineConfig({
  plugins: [stylesWithin()],
  publicDir: false,
  build: {
    outDir: OUT,
    emptyOutDir: true,
    target: "es2023",
    cssCodeSplit: false,
    modulePreload: false,
    rollupOptions: {
      input: "src/widget/main.tsx",
      preserveEntrySignatures: "strict",
      // What asks the collector is no part of the widget, although it stands beside what is.
      treeshake: { moduleSideEffects: (id) => id.includes("node_modules") || /\.css(?:\?|$)/.test(id) },
      output: { format: "es", entryFileNames: "widget.js", codeSplitting: false },
    },
  },
});
