// SPDX-License-Identifier: Apache-2.0
// The same tests in a real headless Chromium. A test that needs Node is named `*.node.test.ts` and left out here.
import { playwright } from '@vitest/browser-playwright'
import { defineConfig } from 'vitest/config'
import { chromiumLaunchOptions } from './tools/chromium.mjs'

export default defineConfig({
  // Vite's own conditions have to be named again beside ours.
  resolve: { conditions: ['@iommufd/source', 'module', 'browser', 'development|production'] },
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/*.node.test.ts'],
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      provider: playwright({ launchOptions: await chromiumLaunchOptions() }),
      instances: [{ browser: 'chromium' }],
    },
  },
})
