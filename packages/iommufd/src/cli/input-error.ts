// SPDX-License-Identifier: Apache-2.0
// What a command says of an input that it cannot use: one line, which names the file and, where there is one, the line.

/** An input that cannot be used: `FILE: problem`, or `FILE:LINE: problem` where there is a line. */
export class InputError extends Error {
  override readonly name = 'InputError'
  readonly file: string
  readonly line: number | undefined
  readonly problem: string

  constructor(file: string, line: number | undefined, problem: string) {
    super(line === undefined ? `${file}: ${problem}` : `${file}:${line}: ${problem}`)
    this.file = file
    this.line = line
    this.problem = problem
  }
}
