// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest'
import readme from '../../../README.md?raw'
import source from '../test/project-readme-example.ts?raw'

test('the example on the first page of the project runs and is refused as it says', async () => {
  const [, example] = /```ts\n(.*?)```/s.exec(readme) ?? []
  expect(source.replace(/^\/\/ SPDX.*\n/, '')).toBe(example)
  const [, refused] = /\/\/ IommufdError: (.*)\n\/\/ \(.*\)\n$/.exec(example ?? '') ?? []
  await expect(import('../test/project-readme-example.js')).rejects.toThrow(refused)
})
