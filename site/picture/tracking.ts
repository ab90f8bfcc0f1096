import type { Delivery, Outcome, QueueInterceptor, QueuePayload, Settlement } from 'sluice';
import type { ConsumerView, Dot, FinishedDot } from './snapshot.js';

/** How many dots a lane shows at most. */
export const MOST_DOTS = 24;

const MOST_CONSUMERS = 6;
const MOST_LEFT_CONSUMERS = 2;
const SETTLEMENTS = ['ack', 'nack', 'release', 'reject'] as const;

/** A delivery in flight. */
interface Tracked {
  readonly delivery: Delivery;
  readonly lane: Lane;
  attempt: number;
  handling: boolean;
  /** How it was counted. */
  counted: Settlement;
}

/** One call of `deliveries()` or `consume()`: a consumer, once something has subscribed. */
export class Lane {
  readonly tracked = new Set<Tracked>();
  /** Its number among the consumers of all queues; 0 before the first subscription. */
  number = 0;
  connections = 0;
  /** The prefetch of one connection. */
  prefetch = 1;

  constructor(readonly group: TrackedGroup) {}

  /**
   * Sees the deliveries of this consumer and the runs of its handler. Its methods return what they
   * are given, so that everything still takes effect within the call.
   */
  readonly interceptor: QueueInterceptor = {
    deliver: (delivery) => {
      this.group.delivered(delivery, this);
      return delivery;
    },
    process: (delivery, run) => {
      const tracked = this.group.find(delivery.id);
      if (tracked === undefined) return run();
      tracked.handling = true;
      tracked.attempt = delivery.attempt;
      this.group.changed();
      const outcome = run();
      void outcome.then((ended) => this.group.ended(tracked, ended));
      return outcome;
    },
  };

  /** A connection starts. Returns what to call when it has ended. */
  join(prefetch: number, nextNumber: () => number): () => void {
    if (this.number === 0) this.number = nextNumber();
    this.prefetch = prefetch;
    if (this.connections++ === 0) this.group.joined(this);
    this.group.changed();
    return () => {
      this.connections--;
      this.group.settleAll(this);
      this.group.changed();
    };
  }

  view(): ConsumerView {
    const shown = [...this.tracked].slice(0, MOST_DOTS);
    return {
      id: this.number,
      label: `consumer ${this.number}`,
      prefetch: this.prefetch * Math.max(1, this.connections),
      deliveries: shown.map((tracked) => ({
        ...this.group.dots.dotOf(this.group.dotId(tracked.delivery.id), tracked.delivery),
        attempt: tracked.attempt,
        handling: tracked.handling,
        deadLetter: tracked.delivery.headers['sluice-queue'] !== undefined,
      })),
      inFlight: this.tracked.size,
      active: this.connections > 0,
    };
  }
}

/** The consumers of a group, its deliveries in flight, and how the others were settled. */
export class TrackedGroup {
  readonly counts = { acked: 0, retried: 0, released: 0, rejected: 0, deadLettered: 0 };
  readonly finished: FinishedDot[] = [];
  /** Whether any message was delayed so far. */
  hasDelays = false;
  #lanes: Lane[] = [];
  readonly #byId = new Map<string, Tracked>();

  constructor(
    readonly prefix: string,
    readonly dots: Dots,
    readonly changed: () => void,
  ) {}

  get inFlight(): number {
    return this.#lanes.reduce((sum, { tracked }) => sum + tracked.size, 0);
  }

  dotId(message: string): string {
    return `${this.prefix}:${message}`;
  }

  find(id: string): Tracked | undefined {
    return this.#byId.get(id);
  }

  /** Finds the delivery in flight that a dead letter was made of. */
  findStored(key: string, payload: QueuePayload): string | undefined {
    for (const { delivery } of this.#byId.values()) {
      if (delivery.key === key && !delivery.settled && isSame(delivery.payload, payload))
        return this.dotId(delivery.id);
    }
    return undefined;
  }

  joined(lane: Lane): void {
    this.#lanes = this.#lanes.filter((one) => one !== lane);
    // Who has left is shown for a while, but a program may subscribe thousands of times.
    const left = this.#lanes.filter(({ connections, tracked }) => connections === 0 && tracked.size === 0);
    const forgotten = new Set(left.slice(0, Math.max(0, left.length - MOST_LEFT_CONSUMERS)));
    this.#lanes = this.#lanes.filter((one) => !forgotten.has(one));
    this.#lanes.push(lane);
    this.#lanes.sort((one, other) => one.number - other.number);
  }

  delivered(delivery: Delivery, lane: Lane): void {
    const { id } = delivery;
    const before = this.#byId.get(id);
    if (before !== undefined) this.count(before);
    const tracked: Tracked = { delivery, lane, attempt: delivery.attempt, handling: false, counted: false };
    this.#byId.set(id, tracked);
    lane.tracked.add(tracked);
    tellSettlement(delivery, () => {
      this.count(tracked);
      this.changed();
    });
    this.changed();
  }

  /** A run of a handler has ended. */
  ended(tracked: Tracked, { status }: Outcome): void {
    tracked.handling = false;
    this.count(tracked);
    if (status === 'dead-lettered' && tracked.counted === 'acked') {
      this.counts.acked--;
      this.counts.deadLettered++;
      this.#finish(tracked, 'dead-lettered');
    } else if (status === 'retried' && tracked.counted === false) {
      // With `orderBy`, a message is retried in place: it stays in flight.
      this.counts.retried++;
      tracked.attempt++;
    }
    this.changed();
  }

  /** Counts how a delivery was settled, and forgets it. */
  count(tracked: Tracked): void {
    const { settled, id } = tracked.delivery;
    if (settled === false || tracked.counted !== false) return;
    tracked.counted = settled;
    this.counts[settled]++;
    tracked.lane.tracked.delete(tracked);
    if (this.#byId.get(id) === tracked) this.#byId.delete(id);
    if (settled === 'acked' || settled === 'rejected') this.#finish(tracked, settled);
  }

  /** The queue settles what its consumer has left, without a call that could be noticed. */
  settleAll({ tracked }: Lane): void {
    for (const one of tracked) this.count(one);
  }

  /** The consumers to show, and how many others there are. */
  consumers(): { readonly shown: ConsumerView[]; readonly others: number } {
    for (const lane of this.#lanes) this.settleAll(lane);
    const active = this.#lanes.filter(({ connections, tracked }) => connections > 0 || tracked.size > 0);
    const room = Math.max(0, MOST_CONSUMERS - active.length);
    const left = this.#lanes.filter((lane) => !active.includes(lane)).slice(-Math.min(MOST_LEFT_CONSUMERS, room || 0));
    const kept = new Set([...active.slice(0, MOST_CONSUMERS), ...(room > 0 ? left : [])]);
    const shown = this.#lanes.filter((lane) => kept.has(lane)).map((lane) => lane.view());
    return { shown, others: Math.max(0, active.length - MOST_CONSUMERS) };
  }

  #finish({ delivery }: Tracked, how: FinishedDot['how']): void {
    const id = this.dotId(delivery.id);
    const before = this.finished.findIndex((one) => one.id === id);
    if (before !== -1) this.finished.splice(before, 1);
    this.finished.push({ id, how });
    if (this.finished.length > MOST_DOTS) this.finished.shift();
  }
}

/** Calls back after each call that settles a delivery. What the calls do and return stays the same. */
function tellSettlement(delivery: Delivery, onSettled: () => void): void {
  // Who froze its deliveries is noticed later: with the next snapshot.
  if (!Object.isExtensible(delivery)) return;
  for (const name of SETTLEMENTS) {
    const method = delivery[name] as (...args: unknown[]) => Promise<boolean>;
    const value = (...args: unknown[]): Promise<boolean> => {
      const answer = method.apply(delivery, args);
      onSettled();
      return answer;
    };
    Object.defineProperty(delivery, name, { value, writable: true, configurable: true, enumerable: false });
  }
}

interface Shown {
  readonly key: string;
  readonly payload: QueuePayload;
  readonly attempt: number;
}

/** Makes the dots of a queue. */
export class Dots {
  #firstKey: string | undefined;
  /** Whether there are several keys. Then the dots show which one they have. */
  #hasKeys = false;

  note(key: string): void {
    this.#firstKey ??= key;
    this.#hasKeys ||= key !== this.#firstKey;
  }

  dotOf(id: string, { key, payload, attempt }: Shown): Dot {
    const text = shortText(payload);
    const initial = this.#hasKeys ? (key.split('.').at(-1) ?? key).slice(0, 1) : '';
    return { id, key, text: text.length > 2 ? text : initial + text, attempt };
  }
}

/** Returns a number or a short text from a payload; empty if there is none. */
function shortText(payload: QueuePayload): string {
  const values = Object.values(payload);
  const number = values.find((value) => typeof value === 'number' && String(value).length <= 4);
  if (number !== undefined) return String(number);
  const text = values.find((value) => typeof value === 'string' && value.length > 0);
  return typeof text === 'string' ? text.slice(0, 3) : '';
}

function isSame(one: QueuePayload, other: QueuePayload): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}
