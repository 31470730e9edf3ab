// SPDX-License-Identifier: Apache-2.0
// The import rules: `npm run layers`. tools/check-plants.mjs plants a violation of each and sees it fail.
import { forbiddenFor, layers } from './tools/layers.mjs'

const layerRules = layers
  .flat()
  .filter((folder) => forbiddenFor(folder).length > 0)
  .map((folder) => ({
    name: `downward-only-from-${folder}`,
    comment: `${folder} may import only the layers below it (tools/layers.mjs)`,
    severity: 'error',
    from: { path: `^packages/${folder}/` },
    to: { path: `^packages/(${forbiddenFor(folder).join('|')})/` },
  }))

export default {
  forbidden: [
    ...layerRules,
    {
      name: 'no-unresolvable',
      comment: 'the import leads nowhere: not declared in package.json, or not exported',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-circular',
      comment:
        'types may name each other within a package (a context and its engine); code may not',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-deep-imports',
      comment: 'other packages are imported by name, not by a path into their folder',
      severity: 'error',
      from: { path: '^packages/([^/]+)/' },
      to: {
        path: '^packages/(?!$1/)',
        dependencyTypes: ['local'],
      },
    },
    {
      name: 'no-node-below-the-command',
      comment:
        'node:* only in the command and in what runs programs, in tests for Node, in benches and in test helpers',
      severity: 'error',
      from: {
        path: '^packages/[^/]+/src/',
        pathNot: [
          '^packages/iommufd/src/cli[./]',
          '^packages/run/',
          '\\.node\\.test\\.ts$',
          '\\.bench\\.ts$',
        ],
      },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'engine-without-the-command',
      comment:
        'a browser page can hold the engine: nothing outside the command imports the command',
      severity: 'error',
      from: { path: '^packages/iommufd/src/(?!cli[./])' },
      to: { path: '^packages/iommufd/src/cli[./]' },
    },
    {
      name: 'no-test-code-in-sources',
      severity: 'error',
      from: { path: '^packages/[^/]+/src/', pathNot: '\\.(test|bench)\\.ts$' },
      to: { path: ['\\.(test|bench)\\.ts$', '^packages/[^/]+/(test|bench)/'] },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['@iommufd/source', 'import', 'types', 'default'],
    },
  },
}
