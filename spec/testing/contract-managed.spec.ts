import { UnsupportedOperationError } from 'sluice';
import { type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { CONTRACT_DEADLINE, testEach } from '../support/contract-cases.js';
import { MANAGED_STORE, ManagedStore, ManagedStoreBackend } from '../support/managed-store.js';

describe('Contract cases of ids and administration for a queue that backends share', () => {
  const store = new ManagedStore();
  const create = async (needs?: BackendNeeds) => new ManagedStoreBackend({ ...needs, store });
  const disconnect = (backend: unknown) => (backend as ManagedStoreBackend).disconnect();
  const cases = queueBackendContract(create, { ...MANAGED_STORE, disconnect, deadline: CONTRACT_DEADLINE });
  testEach(cases.filter(({ rule }) => rule === 0 || rule === 15));
});

describe('Contract cases of administration for a queue that cannot peek', () => {
  const create = async (needs?: BackendNeeds) => {
    const peek = () => Promise.reject(new UnsupportedOperationError('Consume with `release()` instead of `peek()`.'));
    return Object.assign(new ManagedStoreBackend({ ...needs, store: new ManagedStore() }), { peek });
  };
  const cases = queueBackendContract(create, { groups: 'separate', managed: true, peek: false, attempt: 'exact' });
  testEach(cases.filter(({ rule, skipped }) => rule === 0 && skipped === undefined));
});
