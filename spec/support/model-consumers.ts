import type { ModelConsumer, ModelMessage, ModelQueue } from './model-queue.js';

/** What a subscriber does with a delivery within `next`. */
export type Habit = 'keep' | 'ack' | 'nack twice';

/** The model of `deliveries()`. */
export class ModelSubscriber implements ModelConsumer {
  readonly held: ModelMessage[] = [];
  readonly group: string;
  closed = false;
  #stopped = false;
  #paused = false;

  constructor(
    readonly queue: ModelQueue,
    readonly id: number,
    group: string,
    readonly prefetch: number,
    readonly habit: Habit,
    readonly log: string[],
  ) {
    this.group = queue.groupOf(group);
    queue.addConsumer(this);
    this.#addReady();
    queue.serve();
  }

  take(message: ModelMessage, attempt: number): void {
    this.held.push(message);
    this.#addReady();
    this.log.push(`${this.id} gets ${message.n} attempt ${attempt}`);
    if (this.habit === 'ack' || (this.habit === 'nack twice' && attempt > 2)) this.settle(message, 'ack', 0);
    else if (this.habit === 'nack twice') this.settle(message, 'nack', 0);
  }

  settle(message: ModelMessage, how: 'ack' | 'nack' | 'release' | 'reject', delay: number): void {
    this.held.splice(this.held.indexOf(message), 1);
    const isRequeued = how === 'nack' || how === 'release';
    if (isRequeued && delay === 0 && !this.#stopped) this.#pause();
    else this.#addReady();
    if (isRequeued) this.queue.requeue(message, this.group, delay, how === 'nack');
    else this.queue.settle(message, this.group);
    this.queue.serve();
    if (this.#stopped && this.held.length === 0) this.end();
  }

  abort(): void {
    this.#stopped = true;
    this.queue.removeReady(this);
    if (this.held.length === 0) this.end();
  }

  unsubscribe(): void {
    if (this.closed) return;
    this.closed = true;
    this.#leave();
  }

  end(): void {
    if (this.closed) return;
    this.closed = true;
    this.log.push(`${this.id} completes`);
    this.#leave();
  }

  #leave(): void {
    this.#stopped = true;
    this.queue.removeSubscription(this);
    for (const message of this.held.splice(0)) this.queue.requeue(message, this.group, 0, true);
    this.queue.serve();
  }

  #addReady(): void {
    if (this.held.length < this.prefetch && !this.#stopped && !this.#paused) this.queue.addReady(this);
  }

  #pause(): void {
    this.queue.removeReady(this);
    if (this.#paused) return;
    this.#paused = true;
    this.queue.later(() => {
      this.#paused = false;
      this.#addReady();
      this.queue.serve();
    });
  }
}

/** The model of `consume()`. */
export class ModelPayloads implements ModelConsumer {
  readonly group: string;
  readonly answers: (number | 'done')[] = [];
  #phase: 'idle' | 'open' | 'ended' = 'idle';
  #exhausted = false;
  #parked = 0;
  #inFlight: ModelMessage | undefined;

  constructor(
    readonly queue: ModelQueue,
    group: string,
  ) {
    this.group = queue.groupOf(group);
  }

  next(): void {
    if (this.#parked > 0) {
      this.#parked++;
      return;
    }
    this.#settleLast();
    if (this.#phase === 'idle') {
      this.#phase = 'open';
      this.queue.addConsumer(this);
      this.queue.serve();
    }
    if (this.#phase === 'ended') {
      this.answers.push('done');
      return;
    }
    const message = this.queue.takeNow(this.group);
    if (message !== undefined) {
      this.#inFlight = message;
      this.answers.push(message.n);
      this.queue.serve();
    } else if (this.#exhausted) {
      this.leave();
      this.answers.push('done');
    } else {
      this.#parked++;
      this.queue.addReady(this);
    }
  }

  take(message: ModelMessage): void {
    this.#inFlight = message;
    this.answers.push(message.n);
    if (--this.#parked === 0) return;
    this.#settleLast();
    this.queue.addReady(this);
  }

  end(): void {
    this.#exhausted = true;
    if (this.#parked > 0) this.leave();
  }

  /** Aborts the consumer. The message that was delivered is settled by the next call. */
  leave(): void {
    if (this.#phase === 'open') this.queue.removeSubscription(this);
    this.#phase = 'ended';
    for (; this.#parked > 0; this.#parked--) this.answers.push('done');
  }

  return(): void {
    this.leave();
    this.#settleLast();
  }

  #settleLast(): void {
    const last = this.#inFlight;
    this.#inFlight = undefined;
    if (last !== undefined) this.queue.settle(last, this.group);
  }
}
