import type { ConsumerGroup, QueueKey } from '../backend.js';
import { safeName } from '../core/safe-name.js';

/** The longest name of a stream or consumer. It names a folder and is part of subjects. */
const LONGEST_NAME = 128;

/**
 * The token before the group in the subject of a message for one group: `orders.=to.billing.KEY`.
 * It is below the subjects of all messages, so the stream is the same. No key starts with it: an
 * equals sign in a key is percent-encoded.
 */
const FOR_ONE = '=to';

/** The delay in the subject of a delayed message, in milliseconds, and the rest. */
const DELAYED = /^(\d{1,16})\.(.*)$/;

export interface DelayedSubject {
  /** In milliseconds, from the time of storage on. */
  readonly delay: number;
  /** The subject on which the message is stored when it is due. */
  readonly subject: string;
}

export type QueueNames = ReturnType<typeof queueNames>;

/**
 * Returns the names of a queue on the server. All start with the name of the queue. No encoded name
 * contains a tilde before a word, so the names of two queues never collide.
 */
export function queueNames(queue: string) {
  const stream = safeName(queue, LONGEST_NAME);
  const delayedStream = `${stream}~delayed`;
  const quarantine = `${stream}~aside`;
  const targetedPrefix = `${stream}.${FOR_ONE}.`;
  const delayedTarget = new RegExp(`^\\d+\\.${FOR_ONE}\\.([^.]+)\\.`);
  // Every message needs the name of a consumer.
  const consumers = new Map<ConsumerGroup, string>();
  const consumer = (group: ConsumerGroup): string => {
    const name = consumers.get(group) ?? safeName(group, LONGEST_NAME);
    consumers.set(group, name);
    return name;
  };
  const target = (group: ConsumerGroup | undefined) => (group === undefined ? '' : `${FOR_ONE}.${consumer(group)}.`);
  /** Returns where the consumer ends in the subject of a message for one group. Otherwise -1. */
  const targetEnd = (subject: string) =>
    subject.startsWith(targetedPrefix) ? subject.indexOf('.', targetedPrefix.length) : -1;
  return {
    stream,
    delayedStream,
    /** The stream of the quarantine. */
    quarantine,
    /** The consumer of the delayed messages. */
    mover: 'mover',
    /** The prefix of responses and deliveries. A user may be restricted to those of one queue. */
    inbox: `_INBOX.${stream}`,
    consumer,
    /** The subjects of the messages, and of the delayed messages. */
    messages: `${stream}.>`,
    delayed: `${delayedStream}.>`,
    /** The subjects of the messages for one group each, and of the delayed ones. */
    targeted: `${targetedPrefix}*.>`,
    targetedDelayed: `${delayedStream}.*.${FOR_ONE}.*.>`,
    /** Returns the subjects of the messages for the group of one consumer. */
    targetedTo: (name: string) => `${targetedPrefix}${name}.>`,
    /** @param group the only group that gets the message. Undefined: all groups */
    subject: (key: QueueKey, group?: ConsumerGroup) => `${stream}.${target(group)}${writeKey(key)}`,
    delayedSubject: (key: QueueKey, delay: number, group?: ConsumerGroup) =>
      `${delayedStream}.${Math.ceil(delay)}.${target(group)}${writeKey(key)}`,
    /** Returns the subject of a copy of a delayed message, for the group of one consumer. */
    delayedSubjectFor: (name: string, delay: number, subject: string) =>
      `${delayedStream}.${Math.ceil(delay)}.${FOR_ONE}.${name}.${subject.slice(stream.length + 1)}`,
    quarantineSubject: (subject: string) => `${quarantine}.${subject}`,
    /** Returns the consumer of the only group that gets a message. Undefined: all groups get it. */
    targetOf: (subject: string) => {
      const end = targetEnd(subject);
      return end < 0 ? undefined : subject.slice(targetedPrefix.length, end);
    },
    delayedTargetOf: (subject: string) => delayedTarget.exec(subject.slice(delayedStream.length + 1))?.[1],
    readDelayed: (subject: string): DelayedSubject | undefined => {
      const [, delay, rest] = DELAYED.exec(subject.slice(delayedStream.length + 1)) ?? [];
      return delay === undefined ? undefined : { delay: Number(delay), subject: `${stream}.${rest}` };
    },
    /** Returns where the key begins in the subject of a message. */
    keyStart: (subject: string) => {
      const end = targetEnd(subject);
      return end < 0 ? stream.length + 1 : end + 1;
    },
  };
}

/** @param target the consumer of the only group that gets the message. Undefined: all groups */
export function isFor(consumer: string, target: string | undefined): boolean {
  return target === undefined || target === consumer;
}

/** Returns undefined if the name was too long, or another program created the consumer. */
export function readGroup(consumer: string): ConsumerGroup | undefined {
  return /^(?:[\w-]|=[0-9A-F]{2})+$/.test(consumer) ? decode(consumer.replaceAll('=', '%')) : undefined;
}

/** Keeps the tokens of `order.placed`, so that other programs can filter by them. */
function writeKey(key: QueueKey): string {
  return encodeURIComponent(key).replace(/\*|^\.|\.(?=\.|$)/g, (character) => (character === '*' ? '%2A' : '%2E'));
}

/** Reads the key that begins there in a subject. Undefined: the message is unreadable. */
export function readKey(subject: string, start: number): string | undefined {
  return decode(subject.slice(start));
}

export function decode(encoded: string): string | undefined {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return undefined;
  }
}
