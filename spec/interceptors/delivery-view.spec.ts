import { inspect } from 'node:util';
import { of } from 'rxjs';
import { type Delivery, handle, intercept, MemoryBackend, receive, viewDelivery } from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { FakeDelivery } from '../support/handling.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';

async function deliver(): Promise<Delivery> {
  const queue = new MemoryBackend({ name: 'orders', logger: silentLogger });
  await queue.publish('key', { n: 1 }, { id: 'one', headers: { h: '1' } });
  return receive(queue);
}

describe('viewDelivery', () => {
  it('shows another payload and other headers, and the rest of the delivery', async () => {
    const delivery = await deliver();
    const view = viewDelivery(delivery, { payload: { n: 2 }, headers: { h: '2' } });
    const { queue, id, key, attempt, publishedAt } = delivery;
    const shown = { queue, id, key, payload: { n: 2 }, headers: { h: '2' }, attempt, publishedAt, settled: false };
    expect(JSON.parse(JSON.stringify(view))).toEqual(shown);
    expect(view).toMatchObject(shown);
    expect(inspect(view)).toContain('payload: { n: 2 }');
    expect(viewDelivery(delivery, {})).toMatchObject({ payload: { n: 1 }, headers: { h: '1' } });
  });

  it.each(['ack', 'nack', 'release', 'reject'] as const)('settles the delivery by %s', async (method) => {
    const delivery = await deliver();
    const view = viewDelivery(viewDelivery(delivery, { payload: {} }), { headers: {} });
    expect(await view[method]()).toBe(true);
    expect(view.settled).toBe(delivery.settled);
    expect(view.settled).not.toBe(false);
    expect(await delivery.ack()).toBe(false);
  });

  it('passes on the delay of a nack and the reason of a reject', async () => {
    const fake = fakeBackend([
      ['key', { n: 1 }],
      ['key', { n: 2 }],
    ]);
    fake.deliveries().subscribe((delivery) => {
      const view = viewDelivery(delivery, { payload: {} });
      void ((delivery.payload as { n: number }).n === 1 ? view.nack({ delay: 7 }) : view.reject('why'));
    });
    expect(fake.settlements).toMatchObject([{ delay: 7 }, { reason: 'why' }]);
  });

  it.each<[string, (settle: Delivery, view: Delivery) => Promise<boolean>]>([
    ['the view', (_, view) => view.reject(new Error('by hand'))],
    ['its delivery', (delivery) => delivery.reject(new Error('by hand'))],
  ])('tells `handle` the reason of a rejection of %s', async (_, reject) => {
    const logger = recordingLogger();
    const delivery = await deliver();
    const view = viewDelivery(delivery, { payload: {} });
    of(view)
      .pipe(handle(() => reject(delivery, view).then(() => undefined), { logger }))
      .subscribe();
    await new Promise(setImmediate);
    expect(logger.warnings).toEqual([expect.stringContaining('Error: by hand')]);
  });

  it('refuses a copy of a delivery, and a payload that is no object', async () => {
    const delivery = await deliver();
    expect(() => viewDelivery({ ...delivery }, {})).toThrow('Expected `delivery` to be a delivery, got an object');
    expect(() => viewDelivery(delivery, { payload: 5 as never })).toThrow(
      'Expected `payload` to be an object, got a number',
    );
  });

  it('views the delivery of another library', async () => {
    const delivery = new FakeDelivery(1);
    const view = viewDelivery(delivery, { payload: { n: 2 } });
    expect(view).toMatchObject({ id: 'fake-1', payload: { n: 2 } });
    await view.ack();
    expect([view.settled, delivery.calls]).toEqual(['acked', ['ack']]);
  });

  it('keeps what a frozen delivery has when interceptors note something on it', async () => {
    const fake = fakeBackend([['key', { n: 1 }]]);
    const freezing = intercept(
      fake,
      { process: (_, run) => run() },
      { deliver: (delivery) => Object.freeze(viewDelivery(delivery, { payload: { n: 2 } })) },
    );
    const seen: Delivery[] = [];
    freezing
      .deliveries()
      .pipe(handle((delivery) => void seen.push(delivery)))
      .subscribe();
    expect(seen).toMatchObject([{ payload: { n: 2 }, settled: 'acked' }]);
  });
});
