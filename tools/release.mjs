// SPDX-License-Identifier: Apache-2.0
// `npm run release`, for the release workflow: publishes what the changesets have given a new version. npm's provenance
// wants each manifest to name the repository it was built from; the workflow knows it (GITHUB_REPOSITORY).
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { packages, root } from './workspace.mjs'

const repository = process.env.GITHUB_REPOSITORY
if (!repository) throw new Error('GITHUB_REPOSITORY is not set: releases are made by the workflow')

for (const { folder, path, manifest } of packages()) {
  const url = `git+https://github.com/${repository}.git`
  const named = { ...manifest, repository: { type: 'git', url, directory: `packages/${folder}` } }
  writeFileSync(join(path, 'package.json'), `${JSON.stringify(named, null, 2)}\n`)
}

for (const args of [
  ['turbo', 'run', 'pack:check'],
  ['changeset', 'publish'],
]) {
  const { status } = spawnSync('npx', args, { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
