// SPDX-License-Identifier: Apache-2.0
// Every script of the root begins with this one, so that `npm test` works on a fresh clone: it runs `npm run setup`
// when the dependencies were never installed or have changed since, and returns at once otherwise.
// `--done` is called by the install itself (postinstall) and remembers what was installed.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const stamp = join(root, 'node_modules/.setup')

/** A digest of everything that decides what an install brings. */
function wanted() {
  const manifests = readdirSync(join(root, 'packages')).map((name) =>
    join('packages', name, 'package.json'),
  )
  const hash = createHash('sha256')
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json', ...manifests]) {
    if (existsSync(join(root, file))) hash.update(file).update(readFileSync(join(root, file)))
  }
  return hash.digest('hex')
}

/**
 * @param {string} file
 * @param {string} text
 */
function writeIfChanged(file, text) {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function main() {
  // for turbo.json: what is cached was made by this Node
  writeIfChanged(join(root, '.turbo/node-version'), process.version)
  if (process.argv.includes('--done')) return writeIfChanged(stamp, wanted())
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted()) return
  console.error('Installing the dependencies (npm run setup)…')
  // stdout belongs to the command that follows; npm_config_package is set below `npx -p node@24 npm test`, where it
  // would make setup's own npx look for pnpm in that package
  const { npm_config_package: _, ...env } = process.env
  const { status } = spawnSync('npm', ['run', '--silent', 'setup'], {
    cwd: root,
    env,
    stdio: ['ignore', process.stderr, 'inherit'],
    shell: process.platform === 'win32',
  })
  process.exitCode = status ?? 1
}

main()
