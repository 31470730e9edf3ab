// SPDX-License-Identifier: Apache-2.0
// The bundle that bin/iommufd.js starts. Not published as an entry: the command is its interface.
export { main } from './cli/main.js'
