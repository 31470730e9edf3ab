// SPDX-License-Identifier: Apache-2.0
// Files imported as text, under Node and in the browser alike.
declare module '*.jsonl?raw' {
  const text: string
  export default text
}
declare module '*.md?raw' {
  const text: string
  export default text
}
declare module '*.ts?raw' {
  const text: string
  export default text
}
