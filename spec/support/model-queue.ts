/**
 * The behaviour of `MemoryBackend` as a simple model that searches arrays and ignores speed.
 * The property tests run the model beside the real queue and compare what consumers receive.
 */

type State = 'ready' | 'delayed' | 'in flight' | 'done';

export interface ModelMessage {
  readonly n: number;
  place: number;
  /** The only group that receives the message. `undefined`: every group. */
  readonly to: string | undefined;
  /** The state per group. Empty while the publish is delayed. */
  readonly states: Map<string, State>;
  readonly attempts: Map<string, number>;
  /** Whether this is a delayed publish that is not due yet. */
  pending: boolean;
}

interface Delayed {
  readonly message: ModelMessage;
  readonly due: number;
  /** `undefined` for a delayed publish. */
  readonly group: string | undefined;
}

interface Publisher {
  readonly n: number;
  readonly to: string | undefined;
  outcome: 'waiting' | 'taken' | 'closed' | 'aborted';
}

export interface ModelOptions {
  readonly capacity: number;
  readonly overflow: 'wait' | 'error' | 'drop-oldest' | 'drop-newest';
  readonly groups: 'ignored' | readonly string[];
}

export interface ModelConsumer {
  readonly group: string;
  take(message: ModelMessage, attempt: number): void;
  end(): void;
}

export class ModelQueue {
  readonly messages: ModelMessage[] = [];
  readonly entered: number[] = [];
  readonly publishers: Publisher[] = [];
  dropped = 0;
  now = 0;
  closed = false;
  readonly #options: ModelOptions;
  readonly #groups: readonly string[];
  readonly #readyConsumers: ModelConsumer[] = [];
  readonly #consumers: ModelConsumer[] = [];
  readonly #timers: { due: number; run: () => void }[] = [];
  #delayed: Delayed[] = [];
  #places = 0;
  #serving = false;
  #discards = false;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.#groups = options.groups === 'ignored' ? ['default'] : options.groups;
  }

  groupOf(name: string): string {
    return this.#options.groups === 'ignored' ? 'default' : name;
  }

  get unfinished(): number {
    return this.messages.filter(
      (message) => message.pending || [...message.states.values()].some((state) => state !== 'done'),
    ).length;
  }

  get size(): number {
    return this.messages.filter(
      (message) =>
        message.pending || [...message.states.values()].some((state) => state === 'ready' || state === 'delayed'),
    ).length;
  }

  /** Counts like `stats()`. */
  stats(name: string | undefined): { ready: number; unfinished: number } {
    if (name === undefined && this.#options.groups !== 'ignored') {
      const ready = this.messages.filter((message) => [...message.states.values()].includes('ready')).length;
      return { ready, unfinished: this.unfinished };
    }
    const group = this.groupOf(name ?? 'default');
    const unfinished = this.messages.filter(({ pending, to, states }) =>
      pending ? this.#recipients(to).includes(group) : (states.get(group) ?? 'done') !== 'done',
    );
    return { ready: this.ready(group).length, unfinished: unfinished.length };
  }

  ready(group: string): ModelMessage[] {
    return this.messages
      .filter((message) => message.states.get(group) === 'ready')
      .sort((one, other) => one.place - other.place);
  }

  /** Whether subscribing to a group is refused. */
  refuses(group: string): boolean {
    return this.#options.groups !== 'ignored' && !this.#options.groups.includes(group);
  }

  publish(
    n: number,
    delay: number,
    to: string | undefined,
  ): Publisher['outcome'] | 'overflow' | 'not taken' | 'refused' {
    if (to !== undefined && this.refuses(to)) return 'refused';
    if (this.closed) return 'closed';
    const waits = this.publishers.some(({ outcome }) => outcome === 'waiting');
    if (waits || !(this.size < this.#options.capacity || (delay === 0 && this.#allWait(to)))) {
      if (this.#options.overflow === 'wait') {
        this.publishers.push({ n, to, outcome: 'waiting' });
        return 'waiting';
      }
      if (this.#options.overflow === 'error') return 'overflow';
      if (this.#options.overflow === 'drop-newest') {
        this.dropped++;
        return 'not taken';
      }
      this.#dropOldest();
    }
    this.#enter(n, delay, to);
    this.serve();
    return 'taken';
  }

  abortPublish(n: number): void {
    const publisher = this.publishers.find((candidate) => candidate.n === n && candidate.outcome === 'waiting');
    if (publisher === undefined) return;
    publisher.outcome = 'aborted';
    this.serve();
  }

  addConsumer(consumer: ModelConsumer): void {
    this.#consumers.push(consumer);
  }

  removeSubscription(consumer: ModelConsumer): void {
    remove(this.#consumers, consumer);
    remove(this.#readyConsumers, consumer);
  }

  addReady(consumer: ModelConsumer): void {
    if (!this.#readyConsumers.includes(consumer)) this.#readyConsumers.push(consumer);
  }

  removeReady(consumer: ModelConsumer): void {
    remove(this.#readyConsumers, consumer);
  }

  /** Takes a message for a consumer that asks for one and waits if there is none. */
  takeNow(group: string): ModelMessage | undefined {
    if (this.ready(group).length === 0)
      this.#admit((to) => this.#recipients(to).every((recipient) => recipient === group));
    const [first] = this.ready(group);
    if (first === undefined) return undefined;
    first.states.set(group, 'in flight');
    return first;
  }

  settle(message: ModelMessage, group: string): void {
    message.states.set(group, 'done');
    if (this.closed) this.serve();
  }

  requeue(message: ModelMessage, group: string, delay: number, counted: boolean): void {
    if (this.#discards) {
      this.settle(message, group);
      return;
    }
    if (counted) message.attempts.set(group, (message.attempts.get(group) ?? 0) + 1);
    message.states.set(group, delay > 0 ? 'delayed' : 'ready');
    if (delay > 0) this.#delayed.push({ message, due: this.now + delay, group });
  }

  /** Runs a function after one turn of the event loop. */
  later(run: () => void): void {
    this.#timers.push({ due: this.now, run });
  }

  serve(): void {
    if (this.#serving) return;
    this.#serving = true;
    while (this.#serveRound());
    this.#serving = false;
    if (this.closed) this.#endDrained();
  }

  clear(): number[] {
    const removed = this.#discard();
    this.serve();
    return removed;
  }

  close(drain: boolean): void {
    this.closed = true;
    for (const publisher of this.publishers) if (publisher.outcome === 'waiting') publisher.outcome = 'closed';
    if (!drain) {
      this.#discards = true;
      this.#discard();
    }
    this.serve();
  }

  advance(time: number): void {
    const end = this.now + time;
    for (;;) {
      const timer = this.#timers[0];
      const due = Math.min(...this.#delayed.map((delayed) => delayed.due));
      if (timer !== undefined && timer.due <= due && timer.due <= end) {
        this.now = timer.due;
        this.#timers.shift();
        timer.run();
      } else if (due <= end && (!this.closed || this.#consumers.length > 0)) {
        // While a closed queue had no consumers, messages may have become due.
        this.now = Math.max(this.now, due);
        this.#becomeDue();
      } else break;
    }
    this.now = end;
  }

  #serveRound(): boolean {
    let served = false;
    for (const group of this.#groups) {
      while (this.#admit((to) => this.#allWait(to)));
      const consumer = this.#readyConsumers.find((candidate) => candidate.group === group);
      const [message] = this.ready(group);
      if (consumer === undefined || message === undefined) continue;
      served = true;
      remove(this.#readyConsumers, consumer);
      message.states.set(group, 'in flight');
      consumer.take(message, message.attempts.get(group) ?? 1);
    }
    return served;
  }

  #recipients(to: string | undefined): readonly string[] {
    return to === undefined || this.#options.groups === 'ignored' ? this.#groups : [to];
  }

  #allWait(to: string | undefined): boolean {
    return this.#recipients(to).every(
      (group) => this.ready(group).length === 0 && this.#readyConsumers.some((consumer) => consumer.group === group),
    );
  }

  #admit(straight: (to: string | undefined) => boolean): boolean {
    const publisher = this.publishers.find(({ outcome }) => outcome === 'waiting');
    if (publisher === undefined || !(this.size < this.#options.capacity || straight(publisher.to))) return false;
    publisher.outcome = 'taken';
    this.#enter(publisher.n, 0, publisher.to);
    return true;
  }

  #enter(n: number, delay: number, to: string | undefined): void {
    const message: ModelMessage = { n, to, place: -1, states: new Map(), attempts: new Map(), pending: delay > 0 };
    this.messages.push(message);
    this.entered.push(n);
    if (delay > 0) this.#delayed.push({ message, due: this.now + delay, group: undefined });
    else this.#place(message);
  }

  #place(message: ModelMessage): void {
    message.pending = false;
    message.place = this.#places++;
    for (const group of this.#recipients(message.to)) {
      message.states.set(group, 'ready');
      message.attempts.set(group, 1);
    }
  }

  #becomeDue(): void {
    const due = this.#sortedByDue().filter((delayed) => delayed.due <= this.now);
    this.#delayed = this.#delayed.filter((delayed) => !due.includes(delayed));
    for (const { message, group } of due) {
      if (group === undefined) this.#place(message);
      else message.states.set(group, 'ready');
    }
    this.serve();
  }

  #sortedByDue(): Delayed[] {
    return [...this.#delayed].sort((one, other) => one.due - other.due);
  }

  #dropOldest(): void {
    while (this.size >= this.#options.capacity) {
      const before = this.size;
      const [oldest] = this.#groups.flatMap((group) => this.ready(group)).sort((one, other) => one.place - other.place);
      if (oldest === undefined) this.#dropDelayed(this.#sortedByDue()[0] as Delayed);
      else for (const [group, state] of oldest.states) if (state === 'ready') oldest.states.set(group, 'done');
      this.dropped += before - this.size;
    }
  }

  #dropDelayed(delayed: Delayed): void {
    remove(this.#delayed, delayed);
    if (delayed.group === undefined) delayed.message.pending = false;
    else delayed.message.states.set(delayed.group, 'done');
  }

  #discard(): number[] {
    const waiting = this.messages
      .filter((message) => [...message.states.values()].includes('ready'))
      .sort((one, other) => one.place - other.place);
    const delayed = this.#sortedByDue();
    for (const entry of delayed) this.#dropDelayed(entry);
    for (const message of waiting)
      for (const [group, state] of message.states) if (state === 'ready') message.states.set(group, 'done');
    return [...new Set([...waiting, ...delayed.map(({ message }) => message)])].map(({ n }) => n);
  }

  #endDrained(): void {
    for (const group of this.#groups) {
      if (
        this.#delayed.some(
          (delayed) => delayed.group === undefined && this.#recipients(delayed.message.to).includes(group),
        )
      )
        continue;
      if (this.messages.some((message) => (message.states.get(group) ?? 'done') !== 'done')) continue;
      for (const consumer of this.#consumers.filter((candidate) => candidate.group === group)) consumer.end();
    }
  }
}

function remove<Value>(list: Value[], value: Value): void {
  const index = list.indexOf(value);
  if (index >= 0) list.splice(index, 1);
}
