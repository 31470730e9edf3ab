// SPDX-License-Identifier: Apache-2.0
// From arguments to recordings: finding files below directories, reading them, undoing gzip.
//
// Whatever is wrong with an input is one InputError with one line of text; nothing else is thrown.

import { type Dirent, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { constants, createGunzip, gunzipSync } from 'node:zlib'
import { type Recording, readRecording } from '../recording.js'
import { TraceError } from '../trace/error.js'
import { readTrace } from '../trace/reader.js'
import type { Trace } from '../trace/trace.js'
import { InputError } from './input-error.js'

const RECORDING = /\.jsonl(\.gz)?$/
const TEXT_MAX_BYTES = 2 ** 31 - 1
const NEWLINE = 10

/**
 * The recordings that a path names: itself when it is a file of any name, else every .jsonl and
 * .jsonl.gz below it, numbers in names in numeric order.
 */
export function findRecordings(path: string): string[] {
  if (!attempt(path, () => statSync(path)).isDirectory()) return [path]
  const found = walk(path)
  if (found.length === 0) throw new InputError(path, undefined, 'no .jsonl or .jsonl.gz below it')
  return found
}

function walk(directory: string): string[] {
  const entries = attempt(directory, () => readdirSync(directory, { withFileTypes: true }))
  const order = new Intl.Collator('en', { numeric: true })
  entries.sort((a, b) => order.compare(a.name, b.name))
  return entries.flatMap((entry) => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return walk(path)
    return RECORDING.test(entry.name) && isFile(entry, path) ? [path] : []
  })
}

/** Links to files count, links to directories do not: they may lead back. */
function isFile(entry: Dirent, path: string): boolean {
  return entry.isFile() || (entry.isSymbolicLink() && attempt(path, () => statSync(path)).isFile())
}

/** Reads a recording of system calls whole. */
export async function loadTrace(file: string): Promise<Trace> {
  return load(file, readTrace)
}

/** Reads a recording of any kind whole; undefined when its profile is not wanted. */
export async function loadRecording(
  file: string,
  isWanted: (profile: string) => boolean,
): Promise<Recording | undefined> {
  return load(file, (lines) => readRecording(lines, file, isWanted))
}

async function load<T>(
  file: string,
  read: (lines: Iterable<string>, file: string) => T,
): Promise<T> {
  const text = await readText(file)
  try {
    return read(linesOf(text), file)
  } catch (error) {
    if (error instanceof TraceError) throw new InputError(file, error.line, error.problem)
    throw error
  }
}

async function readText(file: string): Promise<Buffer> {
  const data = attempt(file, () => readFileSync(file))
  const isGzip = data[0] === 0x1f && data[1] === 0x8b
  if (!isGzip) {
    if (file.endsWith('.gz') && data.length > 0) throw new InputError(file, 1, 'not gzip data')
    return data
  }
  try {
    return gunzipSync(data, { maxOutputLength: TEXT_MAX_BYTES })
  } catch (error) {
    throw await gzipError(file, data, error)
  }
}

async function gzipError(file: string, data: Buffer, error: unknown): Promise<InputError> {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ERR_BUFFER_TOO_LARGE') {
    return new InputError(file, undefined, 'more than 2 GiB of text')
  }
  const problem =
    code === 'Z_BUF_ERROR' ? 'gzip data is truncated' : `gzip data is damaged (${message})`
  return new InputError(file, (await countLines(data)) + 1, problem)
}

/** Whole lines that come out of damaged gzip data before it fails. */
function countLines(data: Buffer): Promise<number> {
  // small chunks: what a chunk holds when the failure comes is lost
  const gunzip = createGunzip({ chunkSize: 256, finishFlush: constants.Z_SYNC_FLUSH })
  let lines = 0
  return new Promise((resolve) => {
    gunzip.on('data', (chunk: Buffer) => {
      for (const byte of chunk) if (byte === NEWLINE) lines++
    })
    gunzip.on('error', () => resolve(lines))
    gunzip.on('end', () => resolve(lines))
    gunzip.end(data)
  })
}

/** Lines with their newline. A file may be longer than the longest string, a line may not. */
function* linesOf(text: Buffer): Generator<string> {
  let at = 0
  while (at < text.length) {
    const newline = text.indexOf(NEWLINE, at)
    const end = newline === -1 ? text.length : newline + 1
    yield text.toString('utf8', at, end)
    at = end
  }
}

const problems: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'no such file or directory',
  EACCES: 'permission denied',
  EISDIR: 'is a directory',
  ERR_FS_FILE_TOO_LARGE: 'larger than 2 GiB',
}

/** Does something with the file system; its errors become one line. */
export function attempt<T>(path: string, action: () => T): T {
  try {
    return action()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new InputError(path, undefined, problems[code ?? ''] ?? message)
  }
}
