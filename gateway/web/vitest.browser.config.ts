import { defineConfig } from "vitest/config";

// The browser test: one real Chromium, one gateway, steps in order.
export default defineConfig({
  test: {
    include: ["tests/**/*.spec.ts"],
    environment: "node",
    fileParallelism: false,
    sequence: { concurrent: false },
    testTimeout: 120_000,
    hookTimeout: 300_000,
    bail: 1,
  },
});
