// SPDX-License-Identifier: Apache-2.0
// Which Chromium the browser tests run in:
//   1. the one named by CHROMIUM_PATH;
//   2. on Linux x64 the one inside the npm package @sparticuz/chromium, together with the libraries (nss, nspr, expat)
//      that a bare machine lacks, so that nothing is downloaded and nothing is installed system-wide;
//   3. elsewhere the one of `npx playwright install chromium`.
// `node tools/chromium.mjs` unpacks it ahead of the tests: several packages' tests start at the same time.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')

const args = [
  '--no-sandbox',
  '--headless=new',
  // A test machine may have no network: without these Chromium looks for one.
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
]

/** @returns {Promise<import('playwright').LaunchOptions>} */
export async function chromiumLaunchOptions() {
  if (process.env.CHROMIUM_PATH) return { executablePath: process.env.CHROMIUM_PATH, args }
  if (process.platform !== 'linux' || process.arch !== 'x64') return { args }
  const folder = unpacked()
  const env = {
    ...definedEnvironment(),
    LD_LIBRARY_PATH: join(folder, 'al2023', 'lib'),
    FONTCONFIG_PATH: join(folder, 'fonts'),
  }
  return { executablePath: join(folder, 'chromium'), args, env }
}

/** @returns {Record<string, string>} */
function definedEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    ),
  )
}

/** The folder of the unpacked bundle; it appears in one step (rename), so a reader never sees half of it. */
function unpacked() {
  const manifest = join(root, 'node_modules/@sparticuz/chromium/package.json')
  const { version } = JSON.parse(readFileSync(manifest, 'utf8'))
  const cache = join(root, 'node_modules/.cache')
  const folder = join(cache, `chromium-${version}`)
  if (existsSync(folder)) return folder
  mkdirSync(cache, { recursive: true })
  const staging = mkdtempSync(join(cache, 'unpacking-'))
  unpackInto(staging)
  try {
    renameSync(staging, folder)
  } catch (error) {
    if (!existsSync(folder)) throw error
    rmSync(staging, { recursive: true }) // another process was first
  }
  return folder
}

/**
 * The package unpacks into the temporary folder, and its libraries only where it believes to run on Amazon Linux;
 * both are told by the environment of a process of its own.
 * @param {string} folder
 */
function unpackInto(folder) {
  const program = `import chromium from '@sparticuz/chromium'; await chromium.executablePath()`
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: root,
    env: { ...process.env, TMPDIR: folder, AWS_LAMBDA_JS_RUNTIME: 'nodejs20.x' },
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`cannot unpack Chromium into ${folder}: ${stderr}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { executablePath } = await chromiumLaunchOptions()
  console.log(`Chromium: ${executablePath ?? "the one of 'npx playwright install chromium'"}`)
}
