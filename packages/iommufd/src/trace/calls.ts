// SPDX-License-Identifier: Apache-2.0
// Reading one line after the header: which members each call has and what they may hold. The table is the
// whole vocabulary of version 1; members that version 1 does not name are ignored.

import { showValue } from './error.js'
import type { Fields } from './fields.js'
import type { IoctlCall, LoadCall, MmapCall, ReadCall, TraceCall } from './trace.js'

type CallReader = (fields: Fields, line: number, pid: number) => TraceCall

const FIRST_PID = 1
const PID_MAX = 0x7fffffff

const readers: ReadonlyMap<string, CallReader> = new Map<string, CallReader>([
  [
    'open',
    (f, line, pid) => ({ call: 'open', line, pid, path: f.text('path'), ret: f.s32('ret') }),
  ],
  ['close', (f, line, pid) => ({ call: 'close', line, pid, fd: f.s32('fd'), ret: f.s32('ret') })],
  ['mmap', readMmap],
  [
    'munmap',
    (f, line, pid) => ({
      call: 'munmap',
      line,
      pid,
      addr: f.u64('addr'),
      length: f.u64('length'),
      ret: f.s32('ret'),
    }),
  ],
  [
    'mprotect',
    (f, line, pid) => ({
      call: 'mprotect',
      line,
      pid,
      addr: f.u64('addr'),
      length: f.u64('length'),
      prot: f.s32('prot'),
      ret: f.s32('ret'),
    }),
  ],
  [
    'memfd_create',
    (f, line, pid) => ({
      call: 'memfd_create',
      line,
      pid,
      name: f.text('name'),
      flags: f.u32('flags'),
      ret: f.s32('ret'),
    }),
  ],
  [
    'ftruncate',
    (f, line, pid) => ({
      call: 'ftruncate',
      line,
      pid,
      fd: f.s32('fd'),
      length: f.u64('length'),
      ret: f.s32('ret'),
    }),
  ],
  [
    'store',
    (f, line, pid) => ({
      call: 'store',
      line,
      pid,
      addr: f.u64('addr'),
      bytes: f.bytes('bytes'),
    }),
  ],
  [
    'fill',
    (f, line, pid) => ({
      call: 'fill',
      line,
      pid,
      addr: f.u64('addr'),
      length: f.u64('length'),
      seed: f.u32('seed'),
    }),
  ],
  ['load', readLoad],
  [
    'hash',
    (f, line, pid) => ({
      call: 'hash',
      line,
      pid,
      addr: f.u64('addr'),
      length: f.u64('length'),
      fnv1a: f.hexU32('fnv1a'),
    }),
  ],
  ['ioctl', readIoctl],
  ['read', readRead],
  [
    'write',
    (f, line, pid) => ({
      call: 'write',
      line,
      pid,
      fd: f.s32('fd'),
      addr: f.u64('addr'),
      length: f.integer('length', 0),
      ret: f.s32('ret'),
    }),
  ],
  [
    'poll',
    (f, line, pid) => ({
      call: 'poll',
      line,
      pid,
      fd: f.s32('fd'),
      events: f.integer('events', 0, 0xffff),
      ret: f.s32('ret'),
      revents: f.integer('revents', 0, 0xffff),
    }),
  ],
  [
    'setrlimit',
    (f, line, pid) => {
      if (f.text('resource') !== 'MEMLOCK') f.fail('"resource" other than "MEMLOCK" is unknown')
      return {
        call: 'setrlimit',
        line,
        pid,
        resource: 'MEMLOCK',
        cur: f.u64('cur'),
        max: f.u64('max'),
        ret: f.s32('ret'),
      }
    },
  ],
  [
    'setresuid',
    (f, line, pid) => ({
      call: 'setresuid',
      line,
      pid,
      uid: f.u32('uid'),
      ret: f.s32('ret'),
    }),
  ],
  ['fork', (f, line, pid) => ({ call: 'fork', line, pid, ret: f.s32('ret') })],
  ['exit', (_, line, pid) => ({ call: 'exit', line, pid })],
  [
    'status',
    (f, line, pid) => ({
      call: 'status',
      line,
      pid,
      VmPin: f.integer('VmPin'),
      VmLck: f.integer('VmLck'),
    }),
  ],
])

/** Calls whose `pid` is the process they are about, and is always there. */
const needPid: ReadonlySet<string> = new Set(['exit', 'status'])

export function readCall(fields: Fields): TraceCall {
  const name = fields.text('call')
  const read = readers.get(name)
  if (read === undefined) fields.fail(`call ${showValue(name)} is unknown`)
  const pid =
    needPid.has(name) || fields.has('pid') ? fields.integer('pid', FIRST_PID, PID_MAX) : FIRST_PID
  return read(fields, fields.line, pid)
}

function readMmap(f: Fields, line: number, pid: number): MmapCall {
  const ofFile = f.has('fd') || f.has('offset')
  return {
    call: 'mmap',
    line,
    pid,
    addr: f.u64('addr'),
    length: f.u64('length'),
    prot: f.s32('prot'),
    flags: f.s32('flags'),
    fd: ofFile ? f.s32('fd') : undefined,
    offset: ofFile ? f.u64('offset') : undefined,
    ret: f.isNumber('ret') ? f.integer('ret', -4095, -1) : f.u64('ret'),
  }
}

function readLoad(f: Fields, line: number, pid: number): LoadCall {
  const bytes = f.bytes('bytes')
  const length = f.integer('length', 0)
  if (length !== bytes.length) {
    f.fail(`member "bytes" has ${bytes.length} bytes, "length" says ${length}`)
  }
  return { call: 'load', line, pid, addr: f.u64('addr'), bytes }
}

function readIoctl(f: Fields, line: number, pid: number): IoctlCall {
  const arg = f.has('arg') ? f.bytes('arg') : undefined
  const argPreset = f.has('argPreset') && f.flag('argPreset')
  const out = f.has('out') ? f.bytes('out') : undefined
  if (arg === undefined && argPreset) f.fail('"argPreset" needs member "arg"')
  if (out !== undefined && out.length !== arg?.length) {
    f.fail(`member "out" must have as many bytes as "arg" (${arg?.length ?? 'absent'})`)
  }
  return {
    call: 'ioctl',
    line,
    pid,
    op: f.text('op'),
    fd: f.s32('fd'),
    cmd: f.hexU32('cmd'),
    argAddr: f.u64('argAddr'),
    argPreset,
    arg,
    ret: f.s32('ret'),
    newFd: f.has('newFd') ? f.integer('newFd', 0, 0x7fffffff) : undefined,
    out,
  }
}

function readRead(f: Fields, line: number, pid: number): ReadCall {
  const ret = f.s32('ret')
  const bytes = ret > 0 ? f.bytes('bytes') : undefined
  if (bytes !== undefined && bytes.length !== ret) {
    f.fail(`member "bytes" has ${bytes.length} bytes, "ret" says ${ret}`)
  }
  return {
    call: 'read',
    line,
    pid,
    fd: f.s32('fd'),
    addr: f.u64('addr'),
    length: f.integer('length', 0),
    ret,
    bytes,
  }
}
