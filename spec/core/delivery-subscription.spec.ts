import { Subscriber } from 'rxjs';
import type { Delivery } from '../../src/backend.js';
import { Credit } from '../../src/bridge/credit.js';
import { stallWatch } from '../../src/bridge/stall-watch.js';
import type { Disposition } from '../../src/core/base-delivery.js';
import type { DriverDelivery } from '../../src/core/delivery.js';
import { DeliverySubscription, type SubscriptionOwner } from '../../src/core/delivery-subscription.js';
import { recordingLogger } from '../support/recording-logger.js';
import { listenersOf } from '../support/signals.js';
import { Abort, messageOf } from './fakes.js';

/** Records the calls of a subscription. */
class RecordingOwner implements SubscriptionOwner {
  readonly queueName = 'orders';
  readonly longestDelay = 5000;
  readonly logger = recordingLogger();
  readonly told: string[] = [];
  answer: () => Promise<boolean> = async () => true;

  addReady(): void {
    this.told.push('addReady');
  }

  removeReady(): void {
    this.told.push('removeReady');
  }

  creditChanged(): void {
    this.told.push('creditChanged');
  }

  removeSubscription(): void {
    this.told.push('removeSubscription');
  }

  settle({ id, settled }: DriverDelivery, { delay }: Disposition): Promise<boolean> {
    this.told.push(`${id} ${settled}${delay === 0 ? '' : ` in ${delay}`}`);
    return this.answer();
  }
}

function subscribe({
  prefetch = 2,
  signal,
  watched,
}: {
  prefetch?: number;
  signal?: AbortSignal | undefined;
  watched?: true;
} = {}) {
  const owner = new RecordingOwner();
  const seen: string[] = [];
  const subscriber = new Subscriber<Delivery>({
    next: ({ id }) => seen.push(id),
    error: (error: unknown) => seen.push(`failed: ${error}`),
    complete: () => seen.push('complete'),
  });
  const credit = new Credit(prefetch);
  const subscription = new DeliverySubscription(owner, subscriber, {
    group: 'default',
    prefetch,
    signal,
    credit,
    watched,
  });
  subscription.start();
  const take = (id: string) => {
    const delivery = subscription.take(messageOf(id));
    subscription.emit(delivery);
    return delivery;
  };
  return { owner, credit, seen, subscriber, subscription, take };
}

describe('DeliverySubscription', () => {
  it('joins the ready list at its start, after a delivery while it has credit, and when credit is freed', async () => {
    const { owner, seen, subscription, take } = subscribe();
    const one = take('1');
    expect([owner.told.splice(0), subscription.credit]).toEqual([['addReady', 'addReady'], 1]);
    const two = take('2');
    expect([owner.told.splice(0), subscription.credit]).toEqual([[], 0]);
    expect(await two.nack({ delay: 7 })).toBe(true);
    expect([owner.told.splice(0), subscription.credit]).toEqual([['2 retried in 7', 'addReady'], 1]);
    subscription.forget(one);
    expect([owner.told.splice(0), subscription.credit]).toEqual([['addReady'], 2]);
    subscription.forget(one);
    expect([owner.told, subscription.credit, seen]).toEqual([[], 2, ['1', '2']]);
  });

  it('accepts no message after an abort, and completes when the last delivery is settled', () => {
    const { abort, signal } = new Abort();
    const { owner, seen, subscription, take } = subscribe({ prefetch: 3, signal });
    const [one, two] = [take('1'), take('2')];
    owner.told.length = 0;
    abort();
    expect([owner.told.splice(0), subscription.credit, listenersOf(signal)]).toEqual([['removeReady'], 0, 0]);
    void one.ack();
    expect([owner.told.splice(0), seen]).toEqual([['1 acked'], ['1', '2']]);
    subscription.forget(two);
    expect([owner.told, seen]).toEqual([['removeSubscription'], ['1', '2', 'complete']]);
  });

  it('completes immediately on an abort with nothing in flight', () => {
    const { abort, signal } = new Abort();
    const { owner, seen } = subscribe({ signal });
    abort();
    expect([seen, owner.told]).toEqual([['complete'], ['addReady', 'removeReady', 'removeSubscription']]);
  });

  it('requeues deliveries in flight in order when the subscriber unsubscribes, and ignores the result', async () => {
    const { signal } = new Abort();
    const { owner, seen, subscriber, subscription, take } = subscribe({ signal });
    const [one] = [take('1'), take('2')];
    owner.told.length = 0;
    owner.answer = () => Promise.reject(new Error('the connection is gone'));
    subscriber.unsubscribe();
    expect(owner.told).toEqual(['removeReady', '1 retried', '2 retried', 'removeSubscription']);
    expect([one.settled, await one.ack(), subscription.credit, listenersOf(signal)]).toEqual(['retried', false, 0, 0]);
    expect([owner.told.length, seen]).toEqual([4, ['1', '2']]);
  });

  it('requeues deliveries in flight when the subscriber unsubscribes during a delivery', () => {
    const { owner, subscriber, take } = subscribe({ prefetch: 1 });
    subscriber.add(() => owner.told.push('left'));
    const next = jest.spyOn(subscriber, 'next').mockImplementation(() => subscriber.unsubscribe());
    take('1');
    expect([owner.told, next.mock.calls.length]).toEqual([
      ['addReady', 'removeReady', '1 retried', 'removeSubscription', 'left'],
      1,
    ]);
  });

  it.each([
    [undefined, 'complete'],
    [{ error: new Error('wrong password') }, 'failed: Error: wrong password'],
  ])('ends with its queue, and requeues deliveries in flight (%p)', (failure, last) => {
    const { owner, seen, subscription, take } = subscribe();
    take('1');
    owner.told.length = 0;
    subscription.end(failure);
    subscription.end(failure);
    expect([seen, owner.told]).toEqual([
      ['1', last],
      ['removeReady', '1 retried', 'removeSubscription'],
    ]);
  });

  it('leaves the ready list if its subscriber has unsubscribed before it starts', () => {
    const owner = new RecordingOwner();
    const subscriber = new Subscriber<Delivery>();
    subscriber.unsubscribe();
    new DeliverySubscription(owner, subscriber, {
      group: 'default',
      prefetch: 1,
      signal: undefined,
      credit: new Credit(1),
    }).start();
    expect(owner.told).toEqual(['addReady', 'removeReady', 'removeSubscription']);
  });

  it('warns of a second settlement, and logs the reason of a rejection', async () => {
    const { owner, take } = subscribe();
    const delivery = take('1');
    void delivery.reject('no such customer');
    expect(await delivery.ack()).toBe(false);
    expect(owner.logger.debugs).toEqual(['Delivery 1 ("key") from queue "orders" was rejected']);
    expect(owner.logger.warnings).toEqual([
      'ack() of delivery 1 ("key") from queue "orders" changed nothing: it was already rejected',
    ]);
  });

  it('warns once when its subscriber uses up its credit and settles nothing for 60 seconds', () => {
    const watched = subscribe({ watched: true });
    const intake = new Abort();
    const others = [
      subscribe(),
      subscribe({ watched: true }),
      subscribe({ watched: true, signal: intake.signal }),
    ] as const;
    const [unwatched, busy, stopped] = others;
    for (const { take } of [watched, unwatched, stopped]) for (const id of ['1', '2']) take(id);
    intake.abort();
    busy.take('1');
    for (let n = 2; n <= 14; n++) {
      const delivery = busy.take(String(n));
      stallWatch.look();
      void delivery.ack();
    }
    for (const { owner } of others) expect(owner.logger.warnings).toEqual([]);
    expect(watched.owner.logger.warnings).toEqual([expect.stringContaining('queue "orders", group "default"')]);
    for (const { subscriber } of [watched, ...others]) subscriber.unsubscribe();
    for (let n = 1; n <= 14; n++) stallWatch.look();
    expect(watched.owner.logger.warnings.length).toBe(1);
  });

  it('frees credit once, however often a delivery is settled', () => {
    const { subscription, take } = subscribe();
    const delivery = take('1');
    take('2');
    void delivery.ack();
    void delivery.release();
    subscription.forget(delivery);
    expect(subscription.credit).toBe(1);
  });
});
