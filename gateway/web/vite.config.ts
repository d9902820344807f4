import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: "es2022",
    // The policy of the page allows no data: URLs and no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // For `npm run dev`: PITCHSIDE_URL names a running gateway.
  server: process.env.PITCHSIDE_URL
    ? { proxy: { "/api": { target: process.env.PITCHSIDE_URL, secure: false, changeOrigin: true } } }
    : {},
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
