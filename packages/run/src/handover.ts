// SPDX-License-Identifier: Apache-2.0
//
// Passing a descriptor over a socket, with a word of text: how the launched program's listener reaches the server.

import { EPROTO } from '@iommufd/uapi'
import { recvmsg, region, sendmsg, setU64, socketpair } from './libc.js'

const AF_UNIX = 1
const SOCK_SEQPACKET = 5
const SOCK_CLOEXEC = 0x80000
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
const MSG_CMSG_CLOEXEC = 0x40000000
const MSG_NOSIGNAL = 0x4000
const EINTR = 4

const TEXT_BYTES = 1024
const header = region(56)
const iovec = region(16)
const text = region(TEXT_BYTES)
const control = region(64)

/** A pair of connected sockets that end with the process, or -errno. */
export function makePair(): readonly [number, number] | number {
  const pair = region(8)
  const rc = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.address)
  return rc < 0 ? rc : [pair.words[0] as number, pair.words[1] as number]
}

/** Sends a message, with a descriptor unless `fd` is -1: 0 or -errno. */
export function sendMessage(socket: number, message: string, fd = -1): number {
  const bytes = new TextEncoder().encode(message)
  text.bytes.set(bytes.subarray(0, TEXT_BYTES))
  prepare(Math.min(bytes.length, TEXT_BYTES), fd === -1 ? 0 : 24)
  setU64(control.view, 0, 20)
  control.view.setInt32(8, SOL_SOCKET, true)
  control.view.setInt32(12, SCM_RIGHTS, true)
  control.view.setInt32(16, fd, true)
  const rc = sendmsg(socket, header.address, MSG_NOSIGNAL)
  return Math.min(rc, 0)
}

export interface Message {
  readonly text: string
  /** -1 when none came along */
  readonly fd: number
}

/** Waits for a message; -EPROTO when the other side has hung up. */
export function receiveMessage(socket: number): Message | number {
  for (;;) {
    prepare(TEXT_BYTES, 64)
    const rc = recvmsg(socket, header.address, MSG_CMSG_CLOEXEC)
    if (rc === -EINTR) continue
    if (rc <= 0) return rc === 0 ? -EPROTO : rc
    const hasFd =
      header.view.getUint32(40, true) >= 20 && control.view.getInt32(12, true) === SCM_RIGHTS
    return {
      text: new TextDecoder().decode(text.bytes.slice(0, rc)),
      fd: hasFd ? control.view.getInt32(16, true) : -1,
    }
  }
}

/** struct msghdr for `length` bytes of text and so many of control data. */
function prepare(length: number, controlLength: number): void {
  header.bytes.fill(0)
  setU64(iovec.view, 0, text.address)
  setU64(iovec.view, 8, length)
  setU64(header.view, 16, iovec.address)
  setU64(header.view, 24, 1)
  setU64(header.view, 32, controlLength === 0 ? 0 : control.address)
  setU64(header.view, 40, controlLength)
}
