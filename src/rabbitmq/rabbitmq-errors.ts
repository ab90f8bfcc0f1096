import { type ErrorKind, type ErrorRules, isTlsMismatch } from '../core/engine-errors.js';
import { describeError } from '../internal/describe.js';

/** Answers of a server that it will give again: codes of AMQP, and those of the client for what it cannot read. */
const HOPELESS = new Set([
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

/** Answers of a server that may give another one later. */
const PASSING = new Set(['NOT_FOUND', 'RESOURCE_LOCKED', 'RESOURCE_ERROR', 'INTERNAL_ERROR', 'NACK']);

/** What answers is not RabbitMQ: an answer that AMQP does not have. */
const NOT_RABBITMQ = new Set(['VERSION_MISMATCH', 'FRAME_ERROR', 'CODEC', 'COMMAND_INVALID']);

/** A limit was reached that others may make room under. */
const LIMIT = /limit\b.* \(\d+\) is reached|^(\w+: )*maximum number of/i;

/** All channels of a connection that was handed in are taken. On connections of its own, a queue does not take so many. */
const NO_CHANNEL = /maximum number of AMQP Channels/;

/** A heartbeat came where the client waited for the server to take the connection: the server takes its time, and lives. */
const EARLY_HEARTBEAT = /during negotiation: \{"type":8,/;

/** What the errors of rabbitmq-client and the answers of a server mean, to a queue. */
export function rabbitMqFailures(): ErrorRules {
  return { broker: 'RabbitMQ', classify, explain };
}

/** The code of an error of the client, such as `NOT_FOUND`. */
export function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | undefined)?.code ?? '');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : '';
}

/** The broker took back a delivery, since nobody had settled it for too long. */
export function isConsumerTimeout(error: unknown): boolean {
  return codeOf(error) === 'PRECONDITION_FAILED' && /delivery acknowledgement/.test(messageOf(error));
}

/** What to do about a `consumer_timeout`. @param prefetch how many messages the subscriber may hold */
export function consumerTimedOut(queueName: string, prefetch: number): string {
  return `RabbitMQ took back what a subscriber to queue ${JSON.stringify(queueName)} held, since a message was in flight for longer than its "consumer_timeout". A message that waits behind others counts, too: raise "consumer_timeout" in the configuration of the broker above prefetch ÷ concurrency × the time that a handler takes, or lower the prefetch (here ${prefetch})`;
}

/** How many bytes the server takes in a message, where it says so since one had more. */
export function largestBody(error: unknown): number | undefined {
  const said = /larger than configured max size (\d+)/.exec(messageOf(error));
  return said === null ? undefined : Number(said[1]);
}

function classify(error: unknown): ErrorKind {
  const code = codeOf(error);
  if (NO_CHANNEL.test(messageOf(error))) return 'fatal';
  if (EARLY_HEARTBEAT.test(messageOf(error))) return 'retryable';
  if (PASSING.has(code) || LIMIT.test(messageOf(error)) || isConsumerTimeout(error) || largestBody(error) !== undefined)
    return 'refused';
  return HOPELESS.has(code) || isTlsMismatch(error as Error) ? 'fatal' : 'retryable';
}

function explain(error: unknown): string | undefined {
  const code = codeOf(error);
  // The client has no name for what a connection is refused with.
  const said = describeError(error).replace(': undefined: ', ': ');
  if (EARLY_HEARTBEAT.test(said)) return 'RabbitMQ did not take the connection in time';
  if (NOT_RABBITMQ.has(code)) return `What answers is not a RabbitMQ server: ${said}`;
  if (NO_CHANNEL.test(said))
    return `The connection that was handed in has no channel left, and every subscriber needs one. Use fewer subscribers, or set \`url\` instead of \`client\`, so that the queue opens as many connections as it needs: ${said}`;
  if (code === 'PRECONDITION_FAILED')
    return `Something of the queue exists on the broker with other settings than Sluice declares. Delete it, or give the queue another name: ${said}`;
  if (code === 'NOT_ALLOWED')
    return `RabbitMQ does not let the user into the vhost, or there is no such vhost: ${said}`;
  if (code === 'ACCESS_REFUSED')
    return `RabbitMQ refused the user, the password, or a right that the queue needs: to configure, write and read whatever has a name that begins with the queue's: ${said}`;
  return undefined;
}
