// SPDX-License-Identifier: Apache-2.0
// The kernel's own selftests of iommufd, compiled from Debian's source package outside of the repository, unmodified, and
// run under `iommufd run --selftest`: `node tools/kernel-selftest.mjs [--user UID] [--deb FILE] [--json] [--keep]`.
// The package is fetched through the machine's package sources, unless --deb names its file.
//
// Prints a ledger: case, result, and why it did not pass. Exit code 0: every case of the first iommufd series that needs no
// huge pages passed; 1: one did not; 3: the package, a compiler or seccomp is not to be had here (the reason is printed).
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './workspace.mjs'

const { values: options } = parseArgs({
  options: {
    user: { type: 'string' },
    deb: { type: 'string' },
    command: { type: 'string', default: join(root, 'packages/iommufd/bin/iommufd.js') },
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
})

const UNAVAILABLE = 3
/** Exit code when the command could not be used. */
const UNUSABLE = 2
/** Newest first. */
const PACKAGES = ['linux-source-7.3', 'linux-source-6.12']
/** Cases of the series of 2022 (Linux 6.2), by name; all their variants are meant. */
const CORE = new Set(
  `simple_close cmd_fail cmd_length cmd_ex_fail global_options simple_ioctls unmap_cmd map_cmd info_cmd set_iommu_cmd
  vfio_ioas ioas_auto_destroy ioas_destroy ioas_area_destroy ioas_area_auto_destroy area unmap_fully_contained_areas
  area_auto_iova area_allowed copy_area iova_ranges access_domain_destory access_pin access_pin_unmap access_rw
  access_rw_unaligned fork_gone fork_present ioas_option_huge_pages ioas_iova_alloc ioas_align_change copy_sweep basic
  ro_unshare all_aligns all_aligns_copy user_copy option_huge_pages get_info map huge_map map_domain map_two_domains
  access_pin_domain device`.split(/\s+/),
)
/** Names that backports use and the package's own headers may lack. */
const MISSING = {
  in_data_type: 'out_data_type',
  IOMMU_HW_INFO_TYPE_DEFAULT: '0',
  IOMMU_HW_INFO_FLAG_INPUT_TYPE: '1',
  MOCK_FLAGS_DEVICE_PASID: '4',
  MOCK_PASID_WIDTH: '20',
}

/** An end of the work that is nobody's surprise. */
class Ending extends Error {
  /** @param {string} message @param {number} code of exit */
  constructor(message, code) {
    super(message)
    this.code = code
  }
}

/** @param {string} reason @returns {never} */
function unavailable(reason) {
  throw new Ending(`the kernel's selftests were not run: ${reason}`, UNAVAILABLE)
}

/**
 * @param {string} program
 * @param {string[]} args
 * @param {import('node:child_process').SpawnSyncOptions} [more]
 */
function run(program, args, more = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    maxBuffer: 1 << 28,
    ...more,
    encoding: 'utf8',
  })
  return { status: error ? -1 : status, text: `${stdout ?? ''}${stderr ?? ''}` }
}

/** The name of the newest source package that the machine's package sources have. */
function findPackage() {
  const candidate = (/** @type {string} */ name) =>
    /Candidate: (?!\(none\))/.test(run('apt-cache', ['policy', name]).text)
  let found = PACKAGES.find(candidate)
  if (found === undefined) {
    run('apt-get', ['update'])
    found = PACKAGES.find(candidate)
  }
  return found ?? unavailable(`no package ${PACKAGES.join(' or ')} in this machine's sources`)
}

/** The file of the package, downloaded unless it is given. @param {string} folder @returns {string} */
function download(folder) {
  if (options.deb !== undefined) return resolve(options.deb)
  const name = findPackage()
  const fetched = run('apt-get', ['download', name], { cwd: folder })
  const deb = readdirSync(folder).find((file) => file.endsWith('.deb'))
  return deb ?? unavailable(`${name} cannot be downloaded:\n${fetched.text}`)
}

/** Unpacks what is needed: the package's name, and the folder of its source tree. @param {string} folder */
function unpack(folder) {
  const deb = download(folder)
  const name = run('dpkg-deb', ['-f', deb, 'Package'], { cwd: folder }).text.trim()
  if (run('dpkg-deb', ['-x', deb, '.'], { cwd: folder }).status !== 0) {
    throw new Ending(`${deb} is no Debian package`, UNUSABLE)
  }
  const tree = `${name}/`
  const wanted = [
    'include/uapi/linux/iommufd.h',
    'include/uapi/linux/vfio.h',
    'drivers/iommu/iommufd/iommufd_test.h',
    'tools/testing/selftests/iommu',
    'tools/testing/selftests/kselftest_harness.h',
    'tools/testing/selftests/kselftest.h',
  ].map((path) => tree + path)
  const tar = join('usr/src', `${name}.tar.xz`)
  const unpacked = run('tar', ['xf', tar, ...wanted], { cwd: folder })
  if (unpacked.status !== 0) unavailable(`${tar} is not as expected:\n${unpacked.text}`)
  return { name, tree: join(folder, name) }
}

/** What `make headers_install` does to a header. @param {string} tree @param {string} include */
function installHeaders(tree, include) {
  mkdirSync(join(include, 'linux'), { recursive: true })
  for (const header of ['iommufd.h', 'vfio.h']) {
    const text = readFileSync(join(tree, 'include/uapi/linux', header), 'utf8')
    const installed = text.replaceAll('__user', '').replace(/ __counted_by\w*\(\w*\)/g, '')
    writeFileSync(join(include, 'linux', header), installed)
  }
}

/** Options that define what the headers lack. @param {string} tree */
function defines(tree) {
  const known = ['include/uapi/linux/iommufd.h', 'drivers/iommu/iommufd/iommufd_test.h']
    .map((path) => readFileSync(join(tree, path), 'utf8'))
    .join('\n')
  return Object.entries(MISSING).flatMap(([name, value]) =>
    new RegExp(`\\b${name}\\b`).test(known) ? [] : [`-D${name}=${value}`],
  )
}

/** @param {string} folder @param {string} tree @param {string} name @returns {string} */
function compile(folder, tree, name) {
  const include = join(folder, 'include')
  if (!existsSync(include)) installHeaders(tree, include)
  const program = join(folder, name)
  const source = join(tree, 'tools/testing/selftests/iommu', `${name}.c`)
  const built = run('cc', [
    ...['-O2', '-D_GNU_SOURCE', ...defines(tree), `-I${include}`],
    `-I${join(tree, 'tools/testing/selftests')}`,
    ...['-o', program, source],
    ...(readFileSync(source, 'utf8').includes('sys/capability.h') ? ['-lcap'] : []),
  ])
  if (built.status !== 0) unavailable(`${name}.c does not compile here:\n${built.text}`)
  return program
}

/**
 * Cases in order, from what the harness prints.
 * @param {string} text
 */
function parse(text) {
  const cases = []
  let said = []
  for (const line of text.split('\n')) {
    const end = /^(not ok|ok) \d+ (?:# SKIP )?(\S+)(.*)/.exec(line)
    if (end === null) {
      if (/^(# |\S+: )\S+\.[ch]:\d+:/.test(line)) said.push(line.replace(/^.*\/(?=[^/]+:\d+:)/, ''))
      continue
    }
    const [, result, name = '', rest = ''] = end
    const skipped = /# SKIP/.test(line)
    cases.push({
      case: name,
      result: skipped ? 'skip' : result === 'ok' ? 'pass' : 'fail',
      reason: skipped ? rest.replace(/^.*SKIP\s*/, '').trim() : (said[0] ?? ''),
    })
    said = []
  }
  return cases
}

/**
 * Whether a case failed because mmap gave it no huge pages.
 * @param {{ case: string, reason: string }} one @param {string} source
 */
function needsHugePages({ case: name, reason }, source) {
  if (name.includes('huge') && reason.includes('_setup: Assertion `vrc == self->buffer'))
    return true
  const line = /^[\w.]+:(\d+):\w+:Expected MAP_FAILED/.exec(reason)?.[1]
  if (line === undefined) return false
  const before = source.split('\n').slice(Math.max(0, Number(line) - 8), Number(line))
  return name.includes('huge') || before.some((text) => text.includes('MAP_HUGETLB'))
}

/** Why a case did not pass. @param {{ case: string, result: string, reason: string }} one @param {string} source */
function reasonOf(one, source) {
  if (needsHugePages(one, source)) return 'needs huge pages (MAP_HUGETLB)'
  const isDmaBuf = one.result === 'fail' && /\.dmabuf_(simple|revoke)$/.test(one.case)
  return isDmaBuf
    ? 'needs the descriptor that DMABUF_GET does not tell, nor does it on Linux 7.3.4'
    : one.reason
}

/** @param {string} program @param {string} name @param {string} source */
function ledger(program, name, source) {
  const under = ['run', '--selftest', '--privileged', '--', program]
  const drop = options.user === undefined ? [] : ['--reuid', options.user, '--clear-groups', '--']
  const whole = [process.execPath, resolve(options.command), ...under]
  const [first = '', ...rest] = drop.length === 0 ? whole : ['setpriv', ...drop, ...whole]
  // Results go to one stream and what was expected to the other: a file keeps them in order.
  const file = `${program}.log`
  const log = openSync(file, 'w+')
  const stdio = /** @type {import('node:child_process').StdioOptions} */ (['ignore', log, log])
  const { status } = run(first, rest, { cwd: '/', timeout: 900_000, stdio })
  closeSync(log)
  const text = readFileSync(file, 'utf8')
  if (status === 125) unavailable(text.trim())
  const cases = parse(text)
  if (cases.length === 0) {
    throw new Ending(`${name} told nothing (exit ${status}):\n${text.trim()}`, UNUSABLE)
  }
  return cases.map((one) => ({
    ...one,
    program: name,
    core: CORE.has(one.case.replace(/^.*\./, '')),
    reason: reasonOf(one, source),
  }))
}

const folder = mkdtempSync(join(tmpdir(), 'iommufd-kernel-selftest-'))
chmodSync(folder, 0o755)
try {
  if (run('apt-cache', ['--version']).status !== 0) unavailable('there is no apt-get here')
  if (run('cc', ['--version']).status !== 0) unavailable('there is no C compiler')
  const { name, tree } = unpack(folder)
  const cases = ['iommufd', 'iommufd_fail_nth'].flatMap((program) => {
    const source = join(tree, 'tools/testing/selftests/iommu', `${program}.c`)
    return ledger(compile(folder, tree, program), program, readFileSync(source, 'utf8'))
  })
  const missed = cases.filter(
    ({ core, result, reason }) => core && result !== 'pass' && !reason.startsWith('needs huge'),
  )
  if (options.json) console.log(JSON.stringify({ package: name, cases }, null, 2))
  else {
    for (const { case: title, result, core, reason } of cases) {
      console.log(`${result.padEnd(5)}${core ? '*' : ' '} ${title}${reason ? `  (${reason})` : ''}`)
    }
    const count = (/** @type {string} */ result, /** @type {boolean} */ core) =>
      cases.filter((one) => one.result === result && (one.core || !core)).length
    console.log(
      `${name}: ${count('pass', false)} of ${cases.length} cases pass; of those of the first series (*) ` +
        `${count('pass', true)} of ${cases.filter(({ core }) => core).length}, ${missed.length} missed that need no huge pages`,
    )
  }
  process.exitCode = missed.length === 0 ? 0 : 1
} catch (error) {
  if (!(error instanceof Ending)) throw error
  console.log(error.message)
  process.exitCode = error.code
} finally {
  if (options.keep) console.log(`kept: ${folder}`)
  else rmSync(folder, { recursive: true, force: true })
}
