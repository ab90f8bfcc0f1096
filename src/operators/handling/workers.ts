import type { TimestampProvider } from 'rxjs';
import { type AsyncContext, isContextInUse } from '../../internal/async-context.js';
import type { Attempt } from './attempt.js';
import { Line } from './line.js';
import { Slot, type SlotOptions, type SlotOwner } from './slot.js';

export interface WorkersOptions extends SlotOptions {
  readonly concurrency: number;
  /** Handlers run in it. */
  readonly context: AsyncContext;
  /** Tells when a handler was started, where somebody wants to know. */
  readonly clock: TimestampProvider | undefined;
  /** Called at each start, with what `clock` says. */
  readonly onStart: ((now: number) => void) | undefined;
}

/** Runs handlers, as many at a time as there may be, in the order in which their deliveries were offered. */
export class Workers {
  /** How many handlers run. */
  running = 0;
  readonly #owner: SlotOwner;
  readonly #options: WorkersOptions;
  readonly #ready = new Line();
  readonly #slots = new Set<Slot>();
  readonly #free: Slot[] = [];
  #starting = false;
  #closed = false;
  /** None is started, whatever is free: it is closed, or a handler runs alone. */
  #barred = false;
  /** When a handler ended, for as long as that may pass for now; 0 where that is unknown. */
  #endedAt = 0;

  constructor(owner: SlotOwner, options: WorkersOptions) {
    this.#owner = owner;
    this.#options = options;
  }

  get idle(): boolean {
    return this.running === 0 && this.#ready.first === undefined;
  }

  /** Whether one more handler may run. */
  get hasSlot(): boolean {
    return this.running < this.#options.concurrency;
  }

  /** Starts an attempt, now or when its turn has come. */
  offer(attempt: Attempt): void {
    if (this.#starting || this.#barred || !this.hasSlot || this.#ready.first !== undefined) this.#ready.push(attempt);
    else {
      this.#start(attempt);
      this.pump();
    }
  }

  /** Puts an attempt in line, for the next `pump`. */
  enqueue(attempt: Attempt): void {
    this.#ready.push(attempt);
  }

  /** Starts what waits, as far as there is room. What is offered from inside a handler waits for the loop here: the stack does not grow. */
  pump(): void {
    if (this.#starting) return;
    while (this.#ready.first !== undefined && this.hasSlot && !this.#barred) this.#startOrDrop(this.#ready.shift());
    this.#endedAt = 0;
  }

  /** Starts an attempt, and none after it until `resume` is called. */
  startAlone(attempt: Attempt): void {
    this.#barred = true;
    this.#startOrDrop(attempt);
    // If its handler has ended within the call, others may start.
    this.pump();
  }

  /** Others may be started again, by the next `pump`. */
  resume(): void {
    this.#barred = this.#closed;
  }

  /** Somebody else has the floor: what the clock said before is no longer true. */
  timePasses(): void {
    this.#endedAt = 0;
  }

  /** How long the handler of a slot has run, in milliseconds; 0 where nobody wants to know. */
  durationOf({ startedAt }: Slot): number {
    const { clock } = this.#options;
    if (clock === undefined) return 0;
    this.#endedAt = clock.now();
    return this.#endedAt - startedAt;
  }

  /** The handler of a slot has ended, and its delivery is taken care of. */
  free(slot: Slot): void {
    this.running--;
    this.#free.push(slot);
  }

  /** The same for a slot that was abandoned: its handler may still run, and would call back. */
  discard(slot: Slot): void {
    this.running--;
    this.#slots.delete(slot);
  }

  /** Starts no more. */
  close(): void {
    this.#closed = this.#barred = true;
  }

  /** Takes out, one by one, what was not started. */
  *drain(): Generator<Attempt, void> {
    while (this.#ready.first !== undefined) yield this.#ready.shift();
  }

  /** The slots whose handlers run, or have ended without the owner having heard of it. */
  busy(): Slot[] {
    return [...this.#slots].filter(({ attempt }) => attempt !== undefined);
  }

  #startOrDrop(attempt: Attempt): void {
    const { settled } = attempt.delivery;
    // A broker takes it back when the queue is closed or the lease has ended: somebody else has it then.
    if (settled === 'retried' || settled === 'released') this.#owner.gone(attempt);
    else this.#start(attempt);
  }

  #start(attempt: Attempt): void {
    const slot = this.#free.pop() ?? this.#newSlot();
    this.running++;
    this.#starting = true;
    // Reading the clock costs as much as a handler that does nothing: the end of one is the start of the next.
    if (this.#options.clock !== undefined) {
      slot.startedAt = this.#endedAt || this.#options.clock.now();
      this.#options.onStart?.(slot.startedAt);
    }
    this.timePasses();
    if (isContextInUse()) this.#runInContext(slot, attempt);
    else slot.run(attempt);
    this.#starting = false;
  }

  /** Apart from `#start`, where the closure would cost every call. */
  #runInContext(slot: Slot, attempt: Attempt): void {
    this.#options.context.run(() => slot.run(attempt));
  }

  #newSlot(): Slot {
    const slot = new Slot(this.#owner, this.#options);
    this.#slots.add(slot);
    return slot;
  }
}
