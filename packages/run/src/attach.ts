// SPDX-License-Identifier: Apache-2.0
//
// Programs that were started apart share one server: a second launch hands its listener to the first one's process, over a
// socket whose name is no file and so leaves nothing behind.
//
// Invariant: only the same user, or root, may join. The connection lives as long as the joined filter is served: a last word
// tells the joining side that all of its programs are gone, an end without it that the server is.

import { type Message, receiveMessage, sendMessage } from './handover.js'
import { accept4, bind, close, connect, getsockopt, listen, region, socket, watch } from './libc.js'

const AF_UNIX = 1
const SEQPACKET_CLOEXEC = 0x80005
const SOCK_CLOEXEC = 0x80000
const SOL_SOCKET = 1
const SO_PEERCRED = 17
const BACKLOG = 8

const address = region(110)
const credentials = region(12)
const length = region(4)

/** Writes the name of the server `pid` as an address: its length in bytes. */
function nameOf(pid: number): number {
  const name = new TextEncoder().encode(`iommufd-run-${pid}`)
  address.bytes.fill(0)
  address.view.setUint16(0, AF_UNIX, true)
  // A name that begins with a zero byte is no file.
  address.bytes.set(name, 3)
  return 3 + name.length
}

function isAllowed(connection: number): boolean {
  length.words[0] = 12
  const rc = getsockopt(connection, SOL_SOCKET, SO_PEERCRED, credentials.address, length.address)
  const uid = credentials.words[1] as number
  return rc === 0 && (uid === 0 || uid === process.getuid?.())
}

/** Takes listeners that others hand over. `join` answers what has to be called when they are served no more. */
export class Reception {
  readonly #socket: number
  readonly #stops = new Map<number, () => void>()
  readonly #join: (listener: number, ended: () => void) => void

  constructor(join: (listener: number, ended: () => void) => void) {
    this.#join = join
    this.#socket = socket(AF_UNIX, SEQPACKET_CLOEXEC, 0)
    if (this.#socket < 0) return
    if (bind(this.#socket, address.address, nameOf(process.pid)) < 0) return
    if (listen(this.#socket, BACKLOG) < 0) return
    this.#stops.set(
      this.#socket,
      watch(this.#socket, () => this.#accept()),
    )
  }

  close(): void {
    for (const [fd, stop] of this.#stops) {
      stop()
      if (fd !== this.#socket) close(fd)
    }
    this.#stops.clear()
    if (this.#socket >= 0) close(this.#socket)
  }

  #accept(): void {
    const connection = accept4(this.#socket, 0, 0, SOCK_CLOEXEC)
    if (connection < 0) return
    if (!isAllowed(connection)) {
      close(connection)
      return
    }
    this.#stops.set(
      connection,
      watch(connection, () => this.#receive(connection)),
    )
  }

  #receive(connection: number): void {
    this.#stops.get(connection)?.()
    this.#stops.delete(connection)
    const message = receiveMessage(connection)
    if (typeof message === 'number' || message.fd < 0) {
      close(connection)
      return
    }
    this.#join(message.fd, () => {
      sendMessage(connection, 'gone')
      close(connection)
    })
    sendMessage(connection, 'served')
  }
}

/** Hands a listener to the server `pid`: the connection, or -errno. */
export function joinServer(pid: number, listener: number): number {
  const connection = socket(AF_UNIX, SEQPACKET_CLOEXEC, 0)
  if (connection < 0) return connection
  let rc = connect(connection, address.address, nameOf(pid))
  if (rc === 0) rc = sendMessage(connection, 'join', listener)
  const answer: Message | number = rc < 0 ? rc : receiveMessage(connection)
  if (typeof answer !== 'number') return connection
  close(connection)
  return answer
}

/** Resolves when the server has no program of this connection left: true; or false, when the server itself has ended. */
export function leftServer(connection: number): Promise<boolean> {
  return new Promise((resolve) => {
    const stop = watch(connection, () => {
      stop()
      const isGone = typeof receiveMessage(connection) !== 'number'
      close(connection)
      resolve(isGone)
    })
  })
}
