import { Connection, type Link } from '../../src/core/connection.js';
import type { ErrorKind } from '../../src/core/engine-errors.js';
import { QueueEvents } from '../../src/core/events.js';
import { recordingLogger } from '../support/recording-logger.js';

/** A promise that the test settles. */
class Step {
  resolve!: () => void;
  reject!: (error: unknown) => void;
  readonly done = new Promise<void>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });

  constructor() {
    this.done.catch(() => {});
  }
}

/** A link that connects, is prepared and breaks when the test says so. */
export class FakeLink implements Link {
  readonly connecting = new Step();
  readonly preparing = new Step();
  isPrepared = false;
  isDestroyed = false;
  /** If true, `destroy()` does not stop it from connecting. */
  isDeaf = false;
  readonly #timers: NodeJS.Timeout[] = [];

  constructor(
    readonly number: number,
    readonly lost: (cause: unknown) => void,
  ) {}

  connect(): Promise<void> {
    return this.connecting.done;
  }

  destroy(): void {
    this.isDestroyed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    if (this.isDeaf) return;
    this.connecting.reject(new Error('destroyed'));
    this.preparing.reject(new Error('destroyed'));
  }

  /** Runs a callback later, unless the link is destroyed before. */
  after(milliseconds: number, something: () => void): void {
    this.#timers.push(setTimeout(something, milliseconds));
  }

  // Connects and is prepared.
  open(): void {
    this.connecting.resolve();
    this.preparing.resolve();
  }
}

export const PATIENCE = 1000;

/** A connection over fake links. */
export class Stage {
  readonly links: FakeLink[] = [];
  readonly prepared = new Set<FakeLink>();
  readonly times: number[] = [];
  readonly logger = recordingLogger();
  readonly events = new QueueEvents({ queue: 'orders', logger: this.logger });
  /** Violated invariants. */
  readonly problems: string[] = [];
  onLink: (link: FakeLink) => void = () => {};

  readonly connection = new Connection<FakeLink>({
    server: 'Broker at here:1',
    queue: 'orders',
    connection: 'publishing',
    engine: 'Broker',
    connectTimeout: PATIENCE,
    logger: this.logger,
    events: this.events,
    classify: (error): ErrorKind => (/^fatal/.test(String(error)) ? 'fatal' : 'retryable'),
    createLink: (lost) => {
      const link = new FakeLink(this.links.length, lost);
      for (const { number, isDestroyed } of this.links)
        if (!isDestroyed) this.problems.push(`link ${number} was not destroyed`);
      this.times.push(performance.now());
      this.onLink(link);
      this.links.push(link);
      return link;
    },
    prepare: async (link) => {
      const { number } = link;
      if (this.prepared.has(link)) this.problems.push(`link ${number} was prepared twice`);
      if (this.connection.isReady) this.problems.push(`link ${number} could be used before it was prepared`);
      this.prepared.add(link);
      await link.preparing.done;
      link.isPrepared = true;
    },
  });

  get link(): FakeLink {
    return this.links.at(-1) as FakeLink;
  }

  /** The times between links, in milliseconds. */
  get pauses(): number[] {
    return this.times.slice(1).map((time, index) => Math.round(time - (this.times[index] as number)));
  }
}
