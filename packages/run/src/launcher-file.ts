// SPDX-License-Identifier: Apache-2.0
//
// Where the launcher is: beside this module, in the package's bundle as in any other.

import { fileURLToPath } from 'node:url'

export function launcherFile(): string {
  return fileURLToPath(new URL('./launch.js', import.meta.url))
}
