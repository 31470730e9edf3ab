// SPDX-License-Identifier: Apache-2.0
// What the repository's tools share: where things are, the packages' manifests, running a program, a scratch copy.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..')

/**
 * @typedef {Record<string, string | Record<string, string>>} Exports
 * @typedef {{
 *   name: string, version: string, exports: Exports, [key: string]: any
 *   dependencies?: Record<string, string>, devDependencies?: Record<string, string>
 * }} Manifest
 * @typedef {{ folder: string, path: string, manifest: Manifest }} Package  folder: its name below packages/
 */

/** @returns {Package[]} */
export function packages() {
  return readdirSync(join(root, 'packages'))
    .sort()
    .map((folder) => {
      const path = join(root, 'packages', folder)
      return { folder, path, manifest: readJson(join(path, 'package.json')) }
    })
}

/**
 * The package meant by a folder (`uapi`, `packages/uapi`) or a name (`@iommufd/uapi`).
 * @param {string} wanted
 * @returns {Package | undefined}
 */
export function findPackage(wanted) {
  const short = wanted.replace(/\/+$/, '').replace(/^(\.\/)?packages\//, '')
  return packages().find(({ folder, manifest }) => short === folder || short === manifest.name)
}

/** @param {string} file */
export function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/**
 * Files of a folder and of those below it, without what is generated or installed. Paths are relative to the folder.
 * @param {string} folder
 * @returns {string[]}
 */
export function filesBelow(folder) {
  const found = []
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const generated = ['node_modules', 'dist', '.turbo', '.git'].includes(entry.name)
    if (generated || join(folder, entry.name) === join(root, 'docs/api')) continue
    if (!entry.isDirectory()) found.push(entry.name)
    else found.push(...filesBelow(join(folder, entry.name)).map((file) => join(entry.name, file)))
  }
  return found
}

/**
 * Runs a program of node_modules/.bin or of PATH to its end, with its output caught.
 * @param {string} program
 * @param {string[]} args
 * @param {{ cwd?: string, env?: Record<string, string> }} [options]
 * @returns {{ status: number, output: string, stdout: string }}
 */
export function run(program, args, { cwd = root, env = {} } = {}) {
  const path = `${join(root, 'node_modules/.bin')}:${process.env.PATH}`
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: '1', ...env },
  })
  if (error) throw error
  return { status: status ?? 1, output: `${stdout}${stderr}`, stdout }
}

/**
 * Gives `use` a copy of the repository (installed packages shared with the original) and removes it afterwards, so
 * that a check may change files without touching the work tree.
 * @param {(copy: string) => void} use
 */
export function withCopy(use) {
  const copy = mkdtempSync(join(tmpdir(), 'iommufd-copy-'))
  const leaveOut = new Set(['dist', '.turbo', '.git', '.cache', '.pack.tgz'])
  try {
    cpSync(root, copy, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (file) => file !== join(root, 'node_modules') && !leaveOut.has(basename(file)),
    })
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
    use(copy)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/**
 * Ends a check: prints each complaint, and fails if there is one.
 * @param {string[]} complaints
 * @param {string} praise
 */
export function conclude(complaints, praise) {
  for (const complaint of complaints) console.error(complaint)
  if (complaints.length > 0) process.exitCode = 1
  else console.log(praise)
}
