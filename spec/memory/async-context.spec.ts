import { Subject, take } from 'rxjs';
import { AsyncLoopConsumer, createStreams, type Delivery, MemoryBackend, receive } from 'sluice';
import { numberOf } from '../support/consumers.js';
import { Contexts } from '../support/contexts.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const open = (options = {}) => new MemoryBackend({ logger: silentLogger, ...options });

let contexts: Contexts;

beforeEach(() => {
  contexts = new Contexts();
});

const publish = (queue: MemoryBackend, publisher: string, ...numbers: number[]) =>
  contexts.in(publisher, () => {
    for (const n of numbers) void queue.publish('number', { n });
  });

/** An observer that records its notifications. */
const noting = (name = 'next') => ({
  next: (value: unknown) =>
    contexts.note(`${name} ${typeof value === 'object' ? numberOf((value as Delivery).payload) : value}`),
  error: () => contexts.note('error'),
  complete: () => contexts.note('complete'),
});

describe('Async context of a subscriber', () => {
  it('is undefined if it subscribed before a storage existed', () => {
    const queue = open();
    queue.deliveries().subscribe(noting());
    publish(queue, 'publisher', 1);
    expect(contexts.notes).toEqual(['next 1 in none']);
  });

  it('is that of its subscribe call, not of a publisher', () => {
    const queue = open();
    contexts.in('subscriber', () => queue.deliveries().subscribe(noting()));
    publish(queue, 'publisher', 1);
    publish(queue, 'another publisher', 2);
    expect(contexts.notes).toEqual(['next 1 in subscriber', 'next 2 in subscriber']);
  });

  it('is kept for the completion', async () => {
    const queue = open();
    contexts.in('subscriber', () => queue.deliveries().subscribe(noting()));
    await contexts.in('closer', () => queue.close());
    expect(contexts.notes).toEqual(['complete in subscriber']);
  });

  it('is kept after an ack, a delay and an abort elsewhere', async () => {
    const clock = new VirtualClock();
    const queue = open({ scheduler: clock.scheduler });
    const intake = new AbortController();
    const held: Delivery[] = [];
    contexts.in('subscriber', () =>
      queue.deliveries({ prefetch: 1, signal: intake.signal }).subscribe({
        ...noting(),
        next: (delivery) => {
          contexts.note(`next ${numberOf(delivery.payload)}#${delivery.attempt}`);
          held.push(delivery);
        },
      }),
    );
    publish(queue, 'publisher', 1, 2);
    await contexts.in('settler', () => held[0]?.ack());
    await contexts.in('settler', () => held[1]?.nack({ delay: 10 }));
    contexts.in('clock', () => clock.advance(10));
    await contexts.in('settler', () => held[2]?.ack());
    contexts.in('aborter', () => intake.abort());
    expect(contexts.notes).toEqual([
      'next 1#1 in subscriber',
      'next 2#1 in subscriber',
      'next 2#2 in subscriber',
      'complete in subscriber',
    ]);
  });

  it('is kept per subscriber when one publish serves several, and the publisher keeps its own', () => {
    const queue = open({ groups: ['a', 'b'] });
    for (const group of ['a', 'b'])
      contexts.in(`subscriber ${group}`, () => queue.deliveries({ group }).subscribe(noting(group)));
    contexts.in('publisher', () => {
      void queue.publish('number', { n: 1 });
      contexts.note('publisher');
    });
    expect(contexts.notes).toEqual(['a 1 in subscriber a', 'b 1 in subscriber b', 'publisher in publisher']);
  });

  it('is that of each subscription to one stream', () => {
    const queue = open();
    const deliveries = queue.deliveries();
    contexts.in('first', () => deliveries.pipe(take(1)).subscribe(noting()));
    publish(queue, 'publisher', 1);
    contexts.in('second', () => deliveries.pipe(take(1)).subscribe(noting()));
    expect(contexts.notes).toEqual(['next 1 in first', 'complete in first', 'next 1 in second', 'complete in second']);
  });

  it("is not changed by a context that a subscriber enters, and neither is the publisher's", () => {
    const queue = open();
    contexts.in('subscriber', () =>
      queue.deliveries().subscribe((delivery) => {
        noting().next(delivery);
        contexts.enter('entered');
      }),
    );
    contexts.in('publisher', () => {
      for (const n of [1, 2]) void queue.publish('number', { n });
      contexts.note('publisher');
    });
    expect(contexts.notes).toEqual(['next 1 in subscriber', 'next 2 in subscriber', 'publisher in publisher']);
  });

  it('is kept by streams of any backend made with createStreams', () => {
    const source = new Subject<Delivery>();
    const { deliveries } = createStreams((subscriber) => source.subscribe(subscriber));
    contexts.in('subscriber', () => deliveries().subscribe(noting()));
    contexts.in('publisher', () => {
      source.next({ payload: { n: 1 } } as Partial<Delivery> as Delivery);
      source.error(new Error('gone'));
    });
    expect(contexts.notes).toEqual(['next 1 in subscriber', 'error in subscriber']);
  });

  it('is kept by observers of published$, unfinished$ and outcomes$', async () => {
    const queue = open();
    const consumer = new AsyncLoopConsumer(queue, { logger: silentLogger });
    contexts.in('tap', () => {
      queue.published$.subscribe(([key]) => contexts.note(key));
      queue.unfinished$.subscribe((count) => contexts.note(String(count)));
      consumer.outcomes$.subscribe(({ status }) => contexts.note(status));
    });
    void contexts.in('consumer', () => consumer.run(() => {}));
    publish(queue, 'publisher', 1);
    await turns();
    expect(contexts.notes).toEqual(['0 in tap', 'number in tap', '1 in tap', '0 in tap', 'acked in tap']);
  });
});

describe('Async context of a loop', () => {
  it.each(['deliveries', 'consume'] as const)('is that in which the loop runs: %s()', async (method) => {
    const queue = open();
    const loop = contexts.in('loop', async () => {
      for await (const _ of queue[method]()) contexts.note('body');
      contexts.note('end');
    });
    for (const n of [1, 2]) {
      await turns();
      publish(queue, `publisher ${n}`, n);
    }
    await contexts.in('closer', () => queue.close());
    await loop;
    expect(contexts.notes).toEqual(['body in loop', 'body in loop', 'end in loop']);
  });

  it('is that in which receive() is called', async () => {
    const queue = open();
    const received = contexts.in('receiver', async () => {
      await receive(queue);
      contexts.note('received');
    });
    publish(queue, 'publisher', 1);
    await received;
    expect(contexts.notes).toEqual(['received in receiver']);
  });
});
