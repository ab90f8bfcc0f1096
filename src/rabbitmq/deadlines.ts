import { withDeadline } from '../core/deadline.js';
import { Disconnection } from '../core/disconnection.js';
import type { ConnectionLostError } from '../core/engine-errors.js';
import { OverdueError, type Patience } from './patience.js';

/** A link over which fewer bytes come in a millisecond brings nothing but heartbeats. */
const SILENCE = 0.1;

/** How many times as long a request may take while other bytes come, before which its answer may not get through. */
const MOST_WAITS = 10;

/** Never leaves this file. */
const LATE = new Error('Late');

export interface DeadlinesOptions {
  /** Shared by the connections that follow one another. */
  readonly patience: Patience;
  /** How many bytes have come over the connection. */
  readonly bytesRead: () => number;
  /** The server takes nothing for now, and has said so: nothing is late. */
  readonly isHeldUp: () => boolean;
}

/** Until when the server has to answer what is sent over one connection. */
export class Deadlines {
  readonly #options: DeadlinesOptions;
  /** Bytes of messages that are sent and not confirmed. */
  #unconfirmed = 0;
  /** The client may never settle what it was asked for: its timers would keep the process alive. */
  readonly #end = new Disconnection();

  constructor(options: DeadlinesOptions) {
    this.#options = options;
  }

  get isHeldUp(): boolean {
    return this.#options.isHeldUp();
  }

  /** How long the answer to a request may take that is sent now, in milliseconds. */
  get patience(): number {
    return this.#options.patience.get(this.#unconfirmed);
  }

  /** A message of so many bytes was sent. */
  sent(bytes: number): void {
    this.#unconfirmed += bytes;
  }

  /** A message of so many bytes was confirmed, or it was not, and will not be. */
  answered(bytes: number, isConfirmed: boolean): void {
    this.#unconfirmed -= bytes;
    if (isConfirmed) this.#options.patience.inTime();
  }

  /** The error of a request that the server did not answer in time. The next one may take longer. */
  overdue(request: string): OverdueError {
    this.#options.patience.overdue();
    return new OverdueError(`RabbitMQ did not answer ${request} in time`);
  }

  /** The connection was closed: rejects every request that has no answer, and all that follow. */
  end(error: ConnectionLostError): void {
    this.#end.come(error);
  }

  /** Waits for the answer to a request. @throws {OverdueError} (a rejection) when it does not come in time */
  async answerTo<Answer>(request: string, answer: Promise<Answer>): Promise<Answer> {
    const awaited = this.#end.before(answer);
    let isAnswered = false;
    const answered = () => {
      isAnswered = true;
    };
    // Its error is for whoever waits for it below.
    awaited.then(answered, answered);
    for (let waits = 1; ; waits++) {
      const { patience } = this;
      const before = this.#options.bytesRead();
      try {
        // The socket keeps the process alive while there is a connection. A connection that was handed in may end without an answer to what is asked here.
        const value = await withDeadline(awaited, patience, () => LATE, false);
        this.#options.patience.inTime();
        return value;
      } catch (error) {
        if (error !== LATE) throw error;
      }
      await nextTurn();
      if (isAnswered || this.isHeldUp) continue;
      const isArriving = this.#options.bytesRead() - before > SILENCE * patience;
      if (!isArriving || waits >= MOST_WAITS) throw this.overdue(request);
    }
  }
}

/** Where the event loop stood still, what has come meanwhile is read until then. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
