// SPDX-License-Identifier: Apache-2.0
/** IOMMU_TEST_CMD: what the kernel's own selftests of iommufd steer it by. */
export * as testDmaBufRefusals from './dma-buf-refusals.js'
export * as selftestRefusals from './refusals.js'
export { registerSelftest, type TestOp, type TestOps } from './test-cmd.js'
