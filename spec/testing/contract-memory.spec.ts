import { MemoryBackend } from 'sluice';
import { type BackendCapabilities, type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { CONTRACT_DEADLINE, testEach } from '../support/contract-cases.js';
import { silentLogger } from '../support/recording-logger.js';

const REASONS: BackendCapabilities['reasons'] = {
  addedGroups: 'a MemoryBackend keeps the groups of its constructor',
  shared: 'the messages of a MemoryBackend live in one object',
  lease: 'a consumer in this process cannot die without its queue',
  expire: 'a consumer in this process cannot die without its queue',
  disconnect: 'there is no connection',
  restart: 'there is no broker',
};

const COMMON: BackendCapabilities = {
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

describe('Contract of MemoryBackend', () => {
  const create = async ({ name, dedupeWindow, logger = silentLogger }: BackendNeeds = {}) =>
    new MemoryBackend({ name, dedupeWindow, logger });
  testEach(queueBackendContract(create, { ...COMMON, groups: 'ignored', validation: 'shape' }));
});

describe('Contract of MemoryBackend with groups and JSON', () => {
  const create = async ({ name, groups = ['default'], dedupeWindow, logger = silentLogger }: BackendNeeds = {}) =>
    new MemoryBackend({ name, groups, dedupeWindow, logger, validate: 'json' });
  testEach(queueBackendContract(create, { ...COMMON, groups: 'separate', validation: 'json' }));
});
