import { type ErrorKind, type ErrorRules, isTlsMismatch } from '../core/engine-errors.js';
import { describeError } from '../internal/describe.js';
import type { QueueCounts } from './client.js';

/** Codes of AMQP, and of the client for bytes that it cannot read. */
const FATAL = new Set([
  'ACCESS_REFUSED',
  'NOT_ALLOWED',
  'PRECONDITION_FAILED',
  'NOT_IMPLEMENTED',
  'INVALID_PATH',
  'SYNTAX_ERROR',
  'COMMAND_INVALID',
  'VERSION_MISMATCH',
  'FRAME_ERROR',
  'CODEC',
]);

const REFUSED = new Set(['NOT_FOUND', 'RESOURCE_LOCKED', 'RESOURCE_ERROR', 'INTERNAL_ERROR', 'NACK']);

/** Codes of answers that are not AMQP. */
const NOT_RABBITMQ = new Set(['VERSION_MISMATCH', 'FRAME_ERROR', 'CODEC', 'COMMAND_INVALID']);

/** A limit of the server is reached. Other programs may free some of it. */
const LIMIT = /limit\b.* \(\d+\) is reached|^(\w+: )*maximum number of/i;

/** The connection of a caller's client has no channel left. */
const NO_CHANNEL = /maximum number of AMQP Channels/;

/**
 * A heartbeat arrived before the server had accepted the connection: the server is slow, but alive.
 */
const EARLY_HEARTBEAT = /during negotiation: \{"type":8,/;

/** The rules for errors of rabbitmq-client and of servers. */
export function rabbitMqFailures(): ErrorRules {
  return { engine: 'RabbitMQ', classify, explain };
}

/** Such as `NOT_FOUND`. Empty if an error has no code. */
export function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | undefined)?.code ?? '');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : '';
}

/** Whether the broker has closed a channel because of its `consumer_timeout`. */
export function isConsumerTimeout(error: unknown): boolean {
  return codeOf(error) === 'PRECONDITION_FAILED' && /delivery acknowledgement/.test(messageOf(error));
}

/**
 * Whether the broker has cancelled a consumer because of its `consumer_timeout`, as RabbitMQ does
 * from version 4.3 on. The cancellation has no reason. But after a timeout the queue still counts
 * the consumer. A deleted queue counts none, unless another process has already declared it again
 * and consumes from it: then the logged cause is wrong.
 * @param queue undefined if the consumer had no message in flight
 */
export async function isTimeoutCancellation(
  error: unknown,
  queue: string | undefined,
  channel: { look(queue: string): Promise<QueueCounts> },
): Promise<boolean> {
  if (queue === undefined || codeOf(error) !== 'CANCEL_FORCED') return false;
  try {
    return (await channel.look(queue)).consumerCount > 0;
  } catch {
    // The queue is gone, or the broker does not answer. The channel ends.
    return false;
  }
}

/** Explains a `consumer_timeout` in the log. @param prefetch of the subscriber */
export function consumerTimedOut(queueName: string, prefetch: number): string {
  return `RabbitMQ requeued the messages of a subscriber to queue ${JSON.stringify(queueName)}, because one was in flight for longer than its "consumer_timeout". The time that a message waits for its handler counts. Raise "consumer_timeout" in the configuration of the broker above prefetch ÷ concurrency × the time that a handler takes, or lower the prefetch (here ${prefetch})`;
}

/** The most bytes of a message that the server accepts, if the error tells. */
export function largestBody(error: unknown): number | undefined {
  const said = /larger than configured max size (\d+)/.exec(messageOf(error));
  return said === null ? undefined : Number(said[1]);
}

function classify(error: unknown): ErrorKind {
  const code = codeOf(error);
  if (NO_CHANNEL.test(messageOf(error))) return 'fatal';
  if (EARLY_HEARTBEAT.test(messageOf(error))) return 'retryable';
  if (REFUSED.has(code) || LIMIT.test(messageOf(error)) || isConsumerTimeout(error) || largestBody(error) !== undefined)
    return 'refused';
  return FATAL.has(code) || isTlsMismatch(error as Error) ? 'fatal' : 'retryable';
}

function explain(error: unknown): string | undefined {
  const code = codeOf(error);
  // The client has no name for the code of a refused connection.
  const said = describeError(error).replace(': undefined: ', ': ');
  if (EARLY_HEARTBEAT.test(said)) return 'RabbitMQ did not accept the connection in time';
  if (NOT_RABBITMQ.has(code)) return `The server is not a RabbitMQ server: ${said}`;
  if (NO_CHANNEL.test(said))
    return `The connection of \`client\` has no channel left, and every subscriber needs one. Use fewer subscribers, or set \`url\` instead of \`client\`: then the queue opens as many connections as it needs: ${said}`;
  if (code === 'PRECONDITION_FAILED')
    return `A queue or exchange exists on the broker with other settings than Sluice declares. Delete it, or give the queue another name: ${said}`;
  if (code === 'NOT_ALLOWED') return `RabbitMQ denies the user access to the vhost, or there is no such vhost: ${said}`;
  if (code === 'ACCESS_REFUSED')
    return `RabbitMQ refused the user, the password, or a permission. The queue needs the permissions to configure, write and read all names that begin with its own: ${said}`;
  return undefined;
}
