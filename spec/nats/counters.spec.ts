import type { ConsumerConfig, ConsumerInfo } from '@nats-io/jetstream';
import type { JetStreamApi } from '../../src/nats/api.js';
import { addConsumer } from '../../src/nats/counters.js';
import { failureOf } from '../support/promises.js';

/** An error as the client throws it. */
const refusal = Object.assign(new Error('maximum consumers limit reached'), {
  name: 'JetStreamApiError',
  code: 10026,
  status: 400,
});

/**
 * A stream with its maximum of consumers. Before each attempt it has these; before the last, one
 * less.
 */
function full(...listed: readonly (readonly string[])[]) {
  const left = [...listed];
  let attempts = 0;
  const consumers = {
    add: async (_stream: string, { durable_name }: Partial<ConsumerConfig>) => {
      attempts += 1;
      if (left.length > 0) throw refusal;
      return { name: durable_name } as ConsumerInfo;
    },
    list: async () => (left.shift() ?? []).map((name) => ({ name }) as ConsumerInfo),
  };
  const add = () => addConsumer({ consumers } as unknown as JetStreamApi, 'orders', { durable_name: 'b' });
  return { add, attempts: () => attempts };
}

describe('addConsumer to a stream with its maximum of consumers', () => {
  it('waits until the server has deleted the counters', async () => {
    const { add, attempts } = full(['a', 'count~2~all'], ['a', 'count~2~all']);
    expect(await add()).toEqual({ name: 'b' });
    expect(attempts()).toBe(3);
  });

  it('tries once more if the server deleted the last counter before the check', async () => {
    const { add, attempts } = full(['a']);
    expect(await add()).toEqual({ name: 'b' });
    expect(attempts()).toBe(2);
  });

  it('fails if there are no counters', async () => {
    const { add, attempts } = full(['a', 'c'], ['a', 'c']);
    expect(await failureOf(add())).toBe(refusal);
    expect(attempts()).toBe(2);
  });
});
