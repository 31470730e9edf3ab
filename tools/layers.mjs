// SPDX-License-Identifier: Apache-2.0
// The layers, lowest first: the one place that says who may import whom. A package may import packages of lower
// layers, never one of its own layer or above. Read by dependency-cruiser (imports) and by check-packages (manifests).

/** Folder names below packages/. */
export const layers = [
  ['uapi'],
  ['host'],
  ['core'],
  ['pages'],
  ['hw-iommu', 'access'],
  ['vfio-compat'],
  ['selftest'],
  ['run'],
  ['iommufd'],
]

/**
 * The folders that a package in `folder` must not import.
 * @param {string} folder
 */
export function forbiddenFor(folder) {
  const own = layers.findIndex((layer) => layer.includes(folder))
  return layers
    .slice(own)
    .flat()
    .filter((other) => other !== folder)
}
