import type { ModelConsumer, ModelMessage, ModelQueue } from './model-queue.js';

/** What a subscriber does with a delivery in the middle of `next`. */
export type Habit = 'keep' | 'ack' | 'nack twice';

/** `deliveries()` as the model has it. */
export class ModelSubscriber implements ModelConsumer {
  readonly held: ModelMessage[] = [];
  readonly group: string;
  closed = false;
  #stopped = false;
  #resting = false;

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
    const goesBack = how === 'nack' || how === 'release';
    if (goesBack && delay === 0 && !this.#stopped) this.#rest();
    else this.#addReady();
    if (goesBack) this.queue.giveBack(message, this.group, delay, how === 'nack');
    else this.queue.settle(message, this.group);
    this.queue.serve();
    if (this.#stopped && this.held.length === 0) this.end();
  }

  abort(): void {
    this.#stopped = true;
    this.queue.leaveLine(this);
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
    for (const message of this.held.splice(0)) this.queue.giveBack(message, this.group, 0, true);
    this.queue.serve();
  }

  #addReady(): void {
    if (this.held.length < this.prefetch && !this.#stopped && !this.#resting) this.queue.addReady(this);
  }

  #rest(): void {
    this.queue.leaveLine(this);
    if (this.#resting) return;
    this.#resting = true;
    this.queue.later(() => {
      this.#resting = false;
      this.#addReady();
      this.queue.serve();
    });
  }
}

/** `consume()` as the model has it. */
export class ModelPayloads implements ModelConsumer {
  readonly group: string;
  readonly answers: (number | 'done')[] = [];
  #phase: 'idle' | 'open' | 'ended' = 'idle';
  #exhausted = false;
  #parked = 0;
  #out: ModelMessage | undefined;

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
      this.#out = message;
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
    this.#out = message;
    this.answers.push(message.n);
    if (--this.#parked === 0) return;
    this.#settleLast();
    this.queue.addReady(this);
  }

  end(): void {
    this.#exhausted = true;
    if (this.#parked > 0) this.leave();
  }

  /** An abort: what was handed over is settled when the consumer comes back. */
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
    const last = this.#out;
    this.#out = undefined;
    if (last !== undefined) this.queue.settle(last, this.group);
  }
}
