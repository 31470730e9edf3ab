// SPDX-License-Identifier: Apache-2.0
// Output into a pipe whose reader has gone.

/** A reader that has seen enough (`| head`) is no error: end quietly. */
export function endQuietlyOnClosedPipe(stdout: NodeJS.WriteStream): void {
  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit()
    throw error
  })
}
