// SPDX-License-Identifier: Apache-2.0
// What is wrong with a recording that cannot be used, and where.

/** A recording that cannot be used. `message` is `FILE:LINE: problem`, one line of text. */
export class TraceError extends Error {
  override readonly name = 'TraceError'
  readonly file: string
  /** counted from 1; line 1 is the header */
  readonly line: number
  /** the message without the place */
  readonly problem: string

  constructor(file: string, line: number, problem: string) {
    super(`${file}:${line}: ${problem}`)
    this.file = file
    this.line = line
    this.problem = problem
  }
}

/** A value of the file as an error message shows it: on one line, quoted, cut after 40 characters. */
export function showValue(value: unknown): string {
  const text = quote(value)
  return text.length > 40 ? `${text.slice(0, 39)}…` : text
}

/** JSON in printable ASCII: what comes out of a file cannot steer the terminal it is shown on. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.replace(
    /[^\x20-\x7e]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
