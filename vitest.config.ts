// SPDX-License-Identifier: Apache-2.0
// The tests of every package under Node. Packages have no config of their own: vitest, started in a package's folder,
// finds this one above it. Other packages are taken from their sources, so tests need no build.
import { defineConfig } from 'vitest/config'

const conditions = ['@iommufd/source']

export default defineConfig({
  resolve: { conditions },
  // Node's own resolver (externalConditions) has to be told apart from Vite's.
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    environment: 'node',
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
  },
})
