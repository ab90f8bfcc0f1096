/**
 * Contains a fake queue for unit tests, and the contract that every backend fulfils.
 *
 * @module
 */

export type { BackendCapabilities, BackendNeeds, Capability, ContractLogger, CreateBackend } from './capabilities.js';
export { type ContractCase, queueBackendContract } from './contract.js';
export {
  type FakeBackend,
  type FakeBackendOptions,
  type FakeMessage,
  type FakePublish,
  fakeBackend,
} from './fake-backend.js';
export type { FakeSettlement } from './fake-queue.js';
