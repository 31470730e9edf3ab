// SPDX-License-Identifier: Apache-2.0
//
// Files imported as text by the tests.

declare module '*?raw' {
  const text: string
  export default text
}
