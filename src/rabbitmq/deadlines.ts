import { withDeadline } from '../core/deadline.js';
import { Disconnection } from '../core/disconnection.js';
import type { ConnectionLostError } from '../core/engine-errors.js';
import type { ResponseTimeout } from '../core/response-timeout.js';
import { OverdueError, readingTime } from './response-timeout.js';

/** Bytes per millisecond. A link that brings fewer brings heartbeats only. */
const SILENCE = 0.1;

/** How many timeouts an answer may take while other bytes arrive: it may be queued behind them. */
const MOST_WAITS = 10;

const LATE = new Error('Late');

export interface DeadlinesOptions {
  /** Shared by successive connections. */
  readonly responseTimeout: ResponseTimeout;
  /** How many bytes the connection has received. */
  readonly bytesRead: () => number;
  /** Whether the server has said that it accepts nothing for now: then nothing is late. */
  readonly isHeldUp: () => boolean;
}

/** The deadlines of the requests over one connection. */
export class Deadlines {
  readonly #options: DeadlinesOptions;
  /** The bytes of messages that are not confirmed. */
  #unconfirmed = 0;
  /** Ends the timers of requests that the client never answers. */
  readonly #end = new Disconnection();

  constructor(options: DeadlinesOptions) {
    this.#options = options;
  }

  get isHeldUp(): boolean {
    return this.#options.isHeldUp();
  }

  /** How long the answer to a request that is sent now may take, in milliseconds. */
  get responseTimeout(): number {
    return this.#options.responseTimeout.milliseconds + readingTime(this.#unconfirmed);
  }

  /** Notes that a message was sent. */
  sent(bytes: number): void {
    this.#unconfirmed += bytes;
  }

  /** Notes that a message was confirmed, or will never be. */
  answered(bytes: number, isConfirmed: boolean): void {
    this.#unconfirmed -= bytes;
    if (isConfirmed) this.#options.responseTimeout.inTime();
  }

  /**
   * Returns the error of a request that the server did not answer in time. The next request may
   * take longer.
   */
  overdue(request: string): OverdueError {
    this.#options.responseTimeout.late();
    return new OverdueError(`RabbitMQ did not answer ${request} in time`);
  }

  /** Rejects every request that has no answer, and all that follow: the connection was closed. */
  end(error: ConnectionLostError): void {
    this.#end.come(error);
  }

  /**
   * Waits for the answer to a request. @throws {OverdueError} (a rejection) if it does not arrive
   * in time
   */
  async answerTo<Answer>(request: string, answer: Promise<Answer>): Promise<Answer> {
    const awaited = this.#end.before(answer);
    let isAnswered = false;
    const answered = () => {
      isAnswered = true;
    };
    // `withDeadline` below reports its error.
    awaited.then(answered, answered);
    for (let waits = 1; ; waits++) {
      const { responseTimeout } = this;
      const before = this.#options.bytesRead();
      try {
        // The socket keeps the process alive while there is a connection. A connection that was
        // handed in may end without an answer.
        const value = await withDeadline(awaited, responseTimeout, () => LATE, false);
        this.#options.responseTimeout.inTime();
        return value;
      } catch (error) {
        if (error !== LATE) throw error;
      }
      await nextTurn();
      if (isAnswered || this.isHeldUp) continue;
      const isArriving = this.#options.bytesRead() - before > SILENCE * responseTimeout;
      if (!isArriving || waits >= MOST_WAITS) throw this.overdue(request);
    }
  }
}

/** Resolves in the next turn. By then the event loop has read what arrived while it was blocked. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
