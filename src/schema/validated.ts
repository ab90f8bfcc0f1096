import type { Delivery, QueueBackend } from '../backend.js';
import { InvalidMessageError } from '../errors.js';
import { intercept } from '../interceptors/intercept.js';
import type { InterceptorContext, PublishedMessage, QueueInterceptor } from '../interceptors/interceptor.js';
import { viewDelivery } from '../internal/delivery-view.js';
import { describe } from '../internal/describe.js';
import { defaultLogger, type Logger, shieldLogger } from '../internal/logger.js';
import { checkChoice, checkMethods, checkOptions } from '../internal/options.js';
import { type InvalidMessageFunction, InvalidMessages, type InvalidMessageTarget } from './invalid-messages.js';
import { noObject, unknownKey } from './issues.js';
import { checkSchemas, type KeySchema, type Verdict } from './key-schema.js';
import type { SchemaMap, UnknownKeys, ValidatedQueue } from './types.js';

export interface ValidatedOptions<Unknown extends UnknownKeys = UnknownKeys> {
  /**
   * What happens to messages whose key has no schema. `'reject'`: they are invalid. `'pass'`: they
   * are published and delivered unchanged. Default: `'reject'`.
   */
  readonly unknownKeys?: Unknown | undefined;
  /**
   * Takes invalid messages that are delivered: a queue, which gets the message as it was stored,
   * with the headers `sluice-error`, `sluice-attempts`, `sluice-queue` and `sluice-group`; or a
   * function. Default: none. The consumer gives the message up, without a retry: `handle` and
   * `AsyncLoopConsumer` dead-letter it to their own `deadLetter`, or reject and log it; for any
   * other consumer it is rejected and logged.
   */
  readonly deadLetter?: Pick<QueueBackend, 'publish'> | InvalidMessageFunction | undefined;
  /** Logs failures of the dead-letter queue, without the payload. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * Validates the messages of a queue with schemas: of zod, valibot, arktype, or any other library
 * that implements Standard Schema v1. Returns a queue with every member of the given one.
 *
 * `publish` takes the input type of the schema of the key, and sends the payload as it is given. An
 * invalid payload rejects with an `InvalidMessageError`, whose `issues` name the paths. Deliveries
 * have the output type. An invalid message that is delivered never reaches a handler, and is not
 * retried: it goes to `deadLetter`.
 *
 * Errors, log lines and headers show no value of a payload. So they do not have the messages of the
 * schema library, which may quote values.
 *
 * *Gotchas*: the output of a schema must be an object, as every payload is. A schema that throws
 * fails the publish with a `SluiceError`, or the attempt of the handler, which is retried. The
 * `cause` has the name and the place of the schema's error, without its text. With an asynchronous
 * schema, a publish or a delivery on memory takes effect some microtasks later, in order.
 *
 * @example
 * ```ts
 * const queue = validated(new MemoryBackend(), {
 *   'orders.created': z.object({ id: z.number(), at: z.iso.datetime().transform((text) => new Date(text)) }),
 * });
 * await queue.publish('orders.created', { id: 1, at: '2026-01-01T00:00:00Z' });
 * for await (const { payload } of queue.deliveries()) console.log(payload.at.getFullYear());
 * ```
 * @throws {TypeError | RangeError} if the queue, a schema or an option is invalid. The message names
 * the key or the option.
 */
export function validated<
  Queue extends QueueBackend,
  Schemas extends SchemaMap<Schemas>,
  Unknown extends UnknownKeys = 'reject',
>(queue: Queue, schemas: Schemas, options?: ValidatedOptions<Unknown>): ValidatedQueue<Queue, Schemas, Unknown> {
  const { unknownKeys = 'reject', deadLetter, logger = defaultLogger } = checkOptions(options);
  const validator = new Validator(
    checkSchemas(schemas),
    checkChoice('unknownKeys', unknownKeys, ['reject', 'pass']) === 'pass',
    new InvalidMessages(
      checkDeadLetter(deadLetter),
      shieldLogger(checkMethods('logger', logger, ['debug', 'warn', 'error'])),
    ),
  );
  return intercept(queue, validator) as unknown as ValidatedQueue<Queue, Schemas, Unknown>;
}

class Validator implements QueueInterceptor {
  readonly #schemas: ReadonlyMap<unknown, KeySchema>;
  readonly #passesUnknown: boolean;
  readonly #invalid: InvalidMessages;

  constructor(schemas: ReadonlyMap<unknown, KeySchema>, passesUnknown: boolean, invalid: InvalidMessages) {
    this.#schemas = schemas;
    this.#passesUnknown = passesUnknown;
    this.#invalid = invalid;
  }

  publish(message: PublishedMessage, next: (message: PublishedMessage) => Promise<void>): Promise<void> {
    const schema = this.#schemas.get(message.key);
    if (schema === undefined) {
      if (this.#passesUnknown) return next(message);
      throw unknownKey(message.key);
    }
    const payload: unknown = message.payload;
    if (typeof payload !== 'object' || payload === null) throw noObject(payload);
    const verdict = schema.validate(payload);
    if (verdict instanceof Promise) return verdict.then((later) => publishIfValid(later, message, next));
    return publishIfValid(verdict, message, next);
  }

  deliver(delivery: Delivery, { group }: InterceptorContext): Delivery | undefined | Promise<Delivery | undefined> {
    const schema = this.#schemas.get(delivery.key);
    if (schema === undefined)
      return this.#passesUnknown ? delivery : this.#invalid.refuse(delivery, unknownKey(delivery.key), group);
    const verdict = schema.validate(delivery.payload);
    if (verdict instanceof Promise) return verdict.then((later) => this.#deliverIfValid(later, delivery, group));
    return this.#deliverIfValid(verdict, delivery, group);
  }

  #deliverIfValid(verdict: Verdict, delivery: Delivery, group: string): Delivery | undefined {
    if (verdict instanceof InvalidMessageError) return this.#invalid.refuse(delivery, verdict, group);
    return verdict === delivery.payload ? delivery : viewDelivery(delivery, { payload: verdict });
  }
}

/** Publishes the payload as it was given, and not the output of the schema, or it would be transformed twice. */
function publishIfValid(
  verdict: Verdict,
  message: PublishedMessage,
  next: (message: PublishedMessage) => Promise<void>,
): Promise<void> {
  if (verdict instanceof InvalidMessageError) throw verdict;
  return next(message);
}

function checkDeadLetter(deadLetter: InvalidMessageTarget | undefined): InvalidMessageTarget | undefined {
  if (deadLetter === undefined || typeof deadLetter === 'function' || typeof deadLetter?.publish === 'function')
    return deadLetter;
  throw new TypeError(`Expected \`deadLetter\` to be a queue or a function, got ${describe(deadLetter)}`);
}
