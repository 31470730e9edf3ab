// SPDX-License-Identifier: Apache-2.0
import { play } from './scenes.js'

play((line) => console.log(line))
