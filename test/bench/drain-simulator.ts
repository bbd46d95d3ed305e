import { startSimulator } from '../../src/simulator/index.ts'
import { answerWith } from './child.ts'
import { NOW } from './metering.ts'

const { url } = await startSimulator({
  clock: new Date(NOW),
  quota: null,
  logSize: 0,
  cloudTrail: { size: 0 },
  seed: 1,
})

answerWith<'url', string>(() => url)
