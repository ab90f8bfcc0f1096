import type { Observable, Subscription } from 'rxjs';
import {
  type AnyDelivery,
  type ConsumeOptions,
  type Delivery,
  type HandleOptions,
  type HandlerContext,
  handle,
  MemoryBackend,
  type MessageHeaders,
  type NackOptions,
  type Outcome,
  type QueueKey,
} from 'sluice';
import { numberOf } from './consumers.js';
import { turns } from './promises.js';
import { type RecordingLogger, recordingLogger, silentLogger } from './recording-logger.js';
import { VirtualClock } from './virtual-clock.js';

export type TestHandler = (delivery: Delivery, context: HandlerContext) => unknown;
export type Method = 'ack' | 'nack' | 'release' | 'reject';

export interface Deferred<Value> {
  readonly promise: Promise<Value>;
  resolve(value: Value): void;
  reject(error: unknown): void;
}

/** A promise that a test settles by hand. */
export function deferred<Value = void>(): Deferred<Value> {
  let resolve!: (value: Value) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<Value>((onDone, onError) => {
    resolve = onDone;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/** Subscribes to `handle` and records its outcomes. */
export class Handled {
  readonly logger: RecordingLogger = recordingLogger();
  readonly outcomes: Outcome[] = [];
  readonly values: unknown[] = [];
  completed = false;
  error: unknown;
  readonly subscription: Subscription;

  constructor(source: Observable<Delivery>, handler: TestHandler, { onOutcome, ...options }: HandleOptions = {}) {
    const record = (outcome: Outcome): void => {
      this.outcomes.push(outcome);
      onOutcome?.(outcome);
    };
    this.subscription = source.pipe(handle(handler, { logger: this.logger, onOutcome: record, ...options })).subscribe({
      next: (value) => this.values.push(value),
      error: (error: unknown) => {
        this.error = error;
      },
      complete: () => {
        this.completed = true;
      },
    });
  }

  /** The number, attempt and status of each outcome. */
  get statuses(): string[] {
    return this.outcomes.map(
      ({ delivery: { payload, attempt }, status }) => `${numberOf(payload)}#${attempt} ${status}`,
    );
  }
}

/** A memory queue with a handler, both under virtual time. */
export class Processing extends Handled {
  readonly clock: VirtualClock;
  readonly queue: MemoryBackend;

  constructor(handler: TestHandler, options: HandleOptions = {}, consume: ConsumeOptions = {}) {
    const clock = new VirtualClock();
    const { scheduler } = clock;
    const queue = new MemoryBackend({ name: 'work', scheduler, logger: silentLogger });
    super(queue.deliveries(consume), handler, { scheduler, ...options });
    this.clock = clock;
    this.queue = queue;
  }

  /** Publishes `{ n }` for each number. */
  publish(numbers: readonly number[], keyOf: (n: number) => string = () => 'number'): void {
    for (const n of numbers) void this.queue.publish(keyOf(n), { n });
  }

  /** Lets promises settle, advances time by `milliseconds`, and lets promises settle again. */
  async pass(milliseconds = 0): Promise<void> {
    await turns();
    this.clock.advance(milliseconds);
    await turns();
  }
}

/** Handlers that each return a promise. The test settles it by the number of the delivery. */
export class Jobs {
  /** The number and attempt of each delivery whose handler started. */
  readonly started: string[] = [];
  readonly signals = new Map<number, AbortSignal>();
  peak = 0;
  readonly #open = new Map<number, Deferred<unknown>>();

  readonly handler = ({ payload, attempt }: Delivery, { signal }: HandlerContext): Promise<unknown> => {
    const n = numberOf(payload);
    const job = deferred<unknown>();
    this.started.push(`${n}#${attempt}`);
    this.signals.set(n, signal);
    this.#open.set(n, job);
    this.peak = Math.max(this.peak, this.#open.size);
    return job.promise;
  };

  /** The numbers of the running handlers. */
  get running(): number[] {
    return [...this.#open.keys()];
  }

  async finish(n: number, value?: unknown): Promise<void> {
    this.#take(n).resolve(value);
    await turns();
  }

  async fail(n: number, error: unknown = new Error(`failure of ${n}`)): Promise<void> {
    this.#take(n).reject(error);
    await turns();
  }

  #take(n: number): Deferred<unknown> {
    const job = this.#open.get(n);
    if (job === undefined) throw new Error(`${n} does not run`);
    this.#open.delete(n);
    return job;
  }
}

const SETTLED = { ack: 'acked', nack: 'retried', release: 'released', reject: 'rejected' } as const;

/** A delivery without a queue. The test decides what its settlements return. */
export class FakeDelivery implements AnyDelivery {
  readonly queue = 'fake';
  readonly id: string;
  readonly key: QueueKey;
  readonly payload: { readonly n: number };
  readonly headers: MessageHeaders = {};
  readonly attempt: number;
  readonly publishedAt = 0;
  settled: Delivery['settled'] = false;
  /** The requested settlements. */
  readonly calls: Method[] = [];
  readonly #answer: (method: Method, argument: unknown) => Promise<boolean>;

  constructor(
    n: number,
    answer: (method: Method, argument: unknown) => Promise<boolean> = async () => true,
    { attempt = 1, key = 'number' } = {},
  ) {
    this.id = `fake-${n}`;
    this.key = key;
    this.payload = { n };
    this.attempt = attempt;
    this.#answer = answer;
  }

  ack(): Promise<boolean> {
    return this.#settle('ack', undefined);
  }

  nack(options?: NackOptions): Promise<boolean> {
    return this.#settle('nack', options);
  }

  release(): Promise<boolean> {
    return this.#settle('release', undefined);
  }

  reject(reason?: unknown): Promise<boolean> {
    return this.#settle('reject', reason);
  }

  #settle(method: Method, argument: unknown): Promise<boolean> {
    this.calls.push(method);
    const answer = this.#answer(method, argument);
    this.settled = SETTLED[method];
    return answer;
  }
}
