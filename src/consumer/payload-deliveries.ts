import { Observable, type Subscriber } from 'rxjs';
import type {
  ConsumerGroup,
  Delivery,
  MessageHeaders,
  QueueBackend,
  QueueKey,
  QueuePayload,
  Settlement,
} from '../backend.js';
import { COUNTED, NOT_COUNTED } from '../internal/answers.js';
import { describeError } from '../internal/describe.js';
import type { Logger } from '../internal/logger.js';
import { NO_HEADERS } from '../internal/message.js';
import { onAbort } from '../internal/on-abort.js';
import { notedRejection, noteRejection, REJECTION, type TellsRejection } from '../internal/rejection.js';
import { turn } from '../internal/turn.js';
import type { AnyDelivery } from '../operators/handle-options.js';

/** A queue that can be consumed from, and no more: what somebody writes for a test. */
export type PayloadQueue = Pick<QueueBackend, 'consume'> & Partial<Pick<QueueBackend, 'name'>>;

export interface PayloadIntake {
  readonly group: ConsumerGroup | undefined;
  /** How many payloads may be unsettled at a time. */
  readonly limit: number;
  /** Stops the intake. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/**
 * The payloads of `consume()` as deliveries, for a queue without `deliveries()`.
 *
 * A payload is done with when the next one is asked for, whatever comes of it: it cannot go back. So none is asked for before it can be handled.
 */
export function payloadDeliveries(queue: PayloadQueue, intake: PayloadIntake): Observable<Delivery> {
  return new Observable((subscriber) => {
    const pull = new PayloadPull(queue, subscriber, intake);
    const ignoreAbort = onAbort(intake.signal, () => pull.stop());
    subscriber.add(() => {
      ignoreAbort();
      pull.stop();
    });
    pull.ask();
  });
}

class PayloadPull {
  readonly #iterator: AsyncIterator<QueuePayload>;
  readonly #subscriber: Subscriber<Delivery>;
  readonly #intake: PayloadIntake;
  readonly #queueName: string;
  #taken = 0;
  #out = 0;
  #asking = false;
  #ended = false;

  constructor(queue: PayloadQueue, subscriber: Subscriber<Delivery>, intake: PayloadIntake) {
    this.#subscriber = subscriber;
    this.#intake = intake;
    this.#queueName = queue.name ?? 'unnamed';
    this.#iterator = queue.consume({ group: intake.group, signal: intake.signal })[Symbol.asyncIterator]();
  }

  /** Asks for no more. The iterator is told, and whether it keeps what it was about to hand over is up to it: the queues of this library do. */
  stop(): void {
    if (this.#ended) return;
    this.#end();
    (async () => this.#iterator.return?.())().catch((error: unknown) => {
      this.#intake.logger.error(
        `return() of the iterator of queue ${JSON.stringify(this.#queueName)} failed: ${describeError(error)}`,
        {
          queue: this.#queueName,
          error,
        },
      );
    });
  }

  /** A payload is settled. */
  settled(delivery: PayloadDelivery, how: Exclude<Settlement, false>): void {
    this.#out--;
    if (how === 'retried' || how === 'released') {
      this.#intake.logger.warn(
        `Payload ${delivery.id} of queue ${JSON.stringify(this.#queueName)} is lost: without deliveries() it cannot go back`,
        {
          queue: this.#queueName,
          id: delivery.id,
        },
      );
    }
    this.ask();
  }

  settledAgain({ id, settled }: PayloadDelivery): void {
    this.#intake.logger.warn(
      `Payload ${id} of queue ${JSON.stringify(this.#queueName)} was settled again, which changed nothing: it was already ${settled}`,
      { queue: this.#queueName, id },
    );
  }

  /** Asks for a payload, if one may come. */
  ask(): void {
    if (this.#asking || this.#ended || this.#out >= this.#intake.limit) return;
    this.#asking = true;
    (async () => this.#iterator.next())().then(
      (result) => this.#answered(result),
      (error) => this.#failed(error),
    );
  }

  #answered({ done, value }: IteratorResult<QueuePayload, unknown>): void {
    this.#asking = false;
    if (done) this.#end();
    else if (this.#ended)
      this.#intake.logger.warn(
        `A payload of queue ${JSON.stringify(this.#queueName)} is lost: it came when its consumer had stopped`,
        {
          queue: this.#queueName,
        },
      );
    else {
      this.#out++;
      this.#subscriber.next(new PayloadDelivery(this, this.#queueName, value as QueuePayload, ++this.#taken));
      turn.run(() => this.ask());
    }
  }

  #failed(error: unknown): void {
    this.#asking = false;
    this.#ended = true;
    this.#subscriber.error(error);
  }

  #end(): void {
    this.#ended = true;
    this.#subscriber.complete();
  }
}

/** A payload, seen as a delivery. What `consume()` does not tell is left empty. */
class PayloadDelivery implements AnyDelivery, TellsRejection {
  readonly key: QueueKey = '';
  readonly headers: MessageHeaders = NO_HEADERS;
  readonly attempt = 1;
  readonly publishedAt = Number.NaN;
  readonly queue: string;
  readonly id: string;
  readonly payload: QueuePayload;
  settled: Settlement = false;
  readonly #pull: PayloadPull;

  constructor(pull: PayloadPull, queue: string, payload: QueuePayload, number: number) {
    this.#pull = pull;
    this.queue = queue;
    this.id = String(number);
    this.payload = payload;
  }

  get [REJECTION](): unknown {
    return notedRejection(this);
  }

  ack(): Promise<boolean> {
    return this.#settle('acked');
  }

  nack(): Promise<boolean> {
    return this.#settle('retried');
  }

  release(): Promise<boolean> {
    return this.#settle('released');
  }

  reject(reason?: unknown): Promise<boolean> {
    if (!this.settled) noteRejection(this, reason);
    return this.#settle('rejected');
  }

  #settle(how: Exclude<Settlement, false>): Promise<boolean> {
    if (this.settled) {
      this.#pull.settledAgain(this);
      return NOT_COUNTED;
    }
    this.settled = how;
    this.#pull.settled(this, how);
    return COUNTED;
  }
}
