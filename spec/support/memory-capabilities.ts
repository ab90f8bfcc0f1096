import type { BackendCapabilities } from 'sluice/testing';
import { CONTRACT_DEADLINE } from './contract-cases.js';

const REASONS: BackendCapabilities['reasons'] = {
  addedGroups: 'a MemoryBackend keeps the groups of its constructor',
  shared: 'the messages of a MemoryBackend live in one object',
  lease: 'a consumer in this process cannot die without its queue',
  expire: 'a consumer in this process cannot die without its queue',
  disconnect: 'there is no connection',
  restart: 'there is no broker',
};

/** Of a `MemoryBackend`, but for its groups and its validation. */
export const MEMORY_CAPABILITIES: BackendCapabilities = {
  attempt: 'exact',
  release: 'uncounted',
  close: 'drained',
  logger: true,
  dedupe: true,
  dedupeDelayed: true,
  managed: true,
  peek: true,
  purgeDelayed: true,
  deadline: CONTRACT_DEADLINE,
  reasons: REASONS,
};
