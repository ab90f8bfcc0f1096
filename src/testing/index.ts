export type { BackendCapabilities, BackendNeeds, Capability, ContractLogger, CreateBackend } from './capabilities.js';
export { type ContractCase, queueBackendContract } from './contract.js';
export { type FakeBackend, type FakeMessage, type FakeSettlement, fakeBackend } from './fake-backend.js';
export type { FakeBackendOptions, FakePublish } from './fake-options.js';
