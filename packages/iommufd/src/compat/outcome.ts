// SPDX-License-Identifier: Apache-2.0
// What one side answered to one call.

import type { Refusal } from '@iommufd/core'

export interface Outcome {
  readonly ret: number
  /** The struct after the call; undefined where there is none. */
  readonly out: Uint8Array | number | undefined
  readonly refusal: Refusal | undefined
}
