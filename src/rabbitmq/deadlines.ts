import { withDeadline } from '../core/deadline.js';
import { Disconnection } from '../core/disconnection.js';
import { ConnectionLostError } from '../core/engine-errors.js';
import { ResponseTimeout } from '../core/response-timeout.js';

/** In milliseconds: half of the default `publishTimeout`, so that a message can be sent again. */
const USUAL = 5000;

/** How many times the usual timeout a slow server gets at most. */
const MAX_SLOWNESS = 8;

/** The slowest link that is expected, in bytes per millisecond. */
const SLOWEST_LINK = 50;

/** Bytes per millisecond. A link that receives fewer receives heartbeats only. */
const SILENCE = 0.1;

/** How many timeouts an answer may take while other bytes arrive: it may be queued behind them. */
const MOST_WAITS = 10;

const LATE = new Error('Late');

/** The server did not answer a request in time. The server may have carried it out. */
export class OverdueError extends ConnectionLostError {}

export function newResponseTimeout(): ResponseTimeout {
  return new ResponseTimeout(USUAL, MAX_SLOWNESS);
}

export interface DeadlinesOptions {
  /** Shared by successive connections. */
  readonly responseTimeout: ResponseTimeout;
  /** How many bytes the connection has received. */
  readonly bytesRead: () => number;
  /** Whether the server accepts nothing for now. Then no answer is late. */
  readonly isHeldUp: () => boolean;
}

/** The deadlines of the requests over one connection. */
export class Deadlines {
  readonly #options: DeadlinesOptions;
  #unconfirmedBytes = 0;
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
    return this.#options.responseTimeout.milliseconds + this.#unconfirmedBytes / SLOWEST_LINK;
  }

  /** Notes that a message was sent. */
  sent(bytes: number): void {
    this.#unconfirmedBytes += bytes;
  }

  /** Notes that a message was confirmed, or will never be. */
  answered(bytes: number, isConfirmed: boolean): void {
    this.#unconfirmedBytes -= bytes;
    if (isConfirmed) this.#options.responseTimeout.inTime();
  }

  /** Creates the error of an overdue answer. The next request may take longer. */
  overdue(request: string): OverdueError {
    this.#options.responseTimeout.late();
    return new OverdueError(`RabbitMQ did not answer ${request} in time`);
  }

  /** The connection was closed: rejects pending requests, and all that follow. */
  end(error: ConnectionLostError): void {
    this.#end.come(error);
  }

  /** @throws {OverdueError} (a rejection) if the answer to a request does not arrive in time */
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
        // The socket keeps the process alive while there is a connection. The connection of a
        // caller's client may end without an answer.
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
