import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { receive } from 'sluice';
import { type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { fromEnv, MessageStore, StoreBackend } from '../../examples/third-party-backend.js';
import { CONTRACT_DEADLINE, testEach } from '../support/contract-cases.js';
import { silentLogger } from '../support/recording-logger.js';
import { ROOT } from '../support/root.js';

describe('Example of a third-party backend', () => {
  const store = new MessageStore();
  const create = async ({ name = randomUUID(), groups, dedupeWindow, logger = silentLogger }: BackendNeeds = {}) =>
    new StoreBackend({ store, name, groups, dedupeWindow, logger });
  const cases = queueBackendContract(create, {
    groups: 'separate',
    addedGroups: 'held',
    shared: true,
    attempt: 'exact',
    release: 'uncounted',
    validation: 'json',
    close: 'at once',
    logger: true,
    dedupe: true,
    dedupeDelayed: true,
    deadline: CONTRACT_DEADLINE,
    reasons: {
      managed: 'the store has no administration',
      lease: 'a claim lasts as long as the store',
      disconnect: 'there is no connection',
      restart: 'the store is an object',
    },
  });
  testEach(cases);

  it('is created from the environment', async () => {
    const env = { QUEUE_NAME: 'orders', QUEUE_GROUPS: 'billing, audit' };
    await fromEnv(env).publish('order', { id: 1 });
    expect(await fromEnv(env).stats({ group: 'audit' })).toEqual({ ready: 1, unfinished: 1 });
    expect(() => fromEnv({ QUEUE_GROUPS: 'billing,,audit' })).toThrow('QUEUE_GROUPS');
    const unset = fromEnv({ QUEUE_NAME: '', QUEUE_GROUPS: '' });
    expect(unset.name).toBe(fromEnv({}).name);
    await unset.publish('order', { id: 1 });
    expect(await unset.stats({ group: 'default' })).toEqual({ ready: 1, unfinished: 1 });
  });

  it('logs one line per event with its fields', async () => {
    const logged: unknown[][] = [];
    const log =
      (level: string) =>
      (...call: unknown[]) =>
        void logged.push([level, ...call]);
    const logger = { debug: log('debug'), warn: log('warn'), error: log('error') };
    const queue = new StoreBackend({ store, name: 'a\nb', logger });
    await queue.publish('order', { id: 1 });
    const delivery = await receive(queue);
    const { id } = delivery;
    await delivery.reject('too late');
    await delivery.ack();
    const fields = { queue: 'a\nb', key: 'order', id };
    expect(logged).toEqual([
      ['debug', `Delivery ${id} ("order") from queue "a\\nb" was rejected`, { ...fields, error: 'too late' }],
      ['warn', `ack() of delivery ${id} ("order") from queue "a\\nb" changed nothing: it was already rejected`, fields],
    ]);
  });

  it('is shown unchanged in the guide', () => {
    const guide = readFileSync(path.join(ROOT, 'docs/guides/writing-a-backend.md'), 'utf8');
    expect(guide).toContain(
      `\`\`\`ts\n${readFileSync(path.join(ROOT, 'examples/third-party-backend.ts'), 'utf8')}\`\`\`\n`,
    );
  });
});
