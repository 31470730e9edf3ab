// SPDX-License-Identifier: Apache-2.0
//
// Where the programs of this package are that run as processes of their own: beside this module, in the package's bundle as
// in any other.

import { fileURLToPath } from 'node:url'

export function siblingFile(name: 'keeper' | 'launch'): string {
  return fileURLToPath(new URL(`./${name}.js`, import.meta.url))
}
