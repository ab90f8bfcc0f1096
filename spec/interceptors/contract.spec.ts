import { intercept, MemoryBackend, type MemoryValidation } from 'sluice';
import { type BackendCapabilities, type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { testEach } from '../support/contract-cases.js';
import { MEMORY_CAPABILITIES } from '../support/memory-capabilities.js';
import { passLater, passThrough } from '../support/pass-through.js';
import { silentLogger } from '../support/recording-logger.js';

const CAPABILITIES: BackendCapabilities = { ...MEMORY_CAPABILITIES, groups: 'separate', validation: 'json' };

function memory(needs: BackendNeeds = {}, validate: MemoryValidation = 'json'): MemoryBackend {
  const { name, groups = ['default'], dedupeWindow, logger = silentLogger } = needs;
  return new MemoryBackend({ name, groups, dedupeWindow, logger, validate });
}

describe('Contract of an intercepted queue', () => {
  testEach(queueBackendContract(async (needs) => intercept(memory(needs), passThrough), CAPABILITIES));
});

describe('Contract of a queue with asynchronous interceptors, twice', () => {
  const create = async (needs?: BackendNeeds) =>
    intercept(intercept(memory(needs, 'shape'), passLater), passLater, passThrough);
  // The payload is copied when the queue gets it: later than the call.
  testEach(queueBackendContract(create, { ...CAPABILITIES, validation: 'shape' }));
});
