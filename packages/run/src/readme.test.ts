// SPDX-License-Identifier: Apache-2.0
//
// The README's program is test/readme-example.ts; that it runs is in run.node.test.ts.

import { expect, test } from 'vitest'
import readme from '../README.md?raw'
import source from '../test/readme-example.ts?raw'

test('the example of the README is the one that runs', () => {
  const blocks = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1])
  expect(blocks).toEqual([source.slice(source.indexOf('\n') + 1)])
})
