import { MemoryBackend } from 'sluice';
import { type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { testEach } from '../support/contract-cases.js';
import { MEMORY_CAPABILITIES } from '../support/memory-capabilities.js';
import { silentLogger } from '../support/recording-logger.js';

describe('Contract of MemoryBackend', () => {
  const create = async ({ name, dedupeWindow, logger = silentLogger }: BackendNeeds = {}) =>
    new MemoryBackend({ name, dedupeWindow, logger });
  testEach(queueBackendContract(create, { ...MEMORY_CAPABILITIES, groups: 'ignored', validation: 'shape' }));
});

describe('Contract of MemoryBackend with groups and JSON', () => {
  const create = async ({ name, groups = ['default'], dedupeWindow, logger = silentLogger }: BackendNeeds = {}) =>
    new MemoryBackend({ name, groups, dedupeWindow, logger, validate: 'json' });
  testEach(queueBackendContract(create, { ...MEMORY_CAPABILITIES, groups: 'separate', validation: 'json' }));
});
