import type { ConsumerGroup, QueueKey } from '../backend.js';
import { safeName } from '../core/safe-name.js';

/** The longest name of a stream or consumer, in characters: it becomes the name of a folder, and a part of subjects. */
const LONGEST_NAME = 128;

/**
 * The token before the name of the group in the subject of a message for one group: `orders.=to.billing.KEY`. The subjects of all messages begin alike, so the stream stays as it is.
 * No key begins so, since an equals sign in a key is percent-encoded.
 */
const FOR_ONE = '=to';

/** The delay in the subject of a delayed message, in milliseconds, and what follows. */
const DELAYED = /^(\d{1,16})\.(.*)$/;

/** What the subject of a delayed message says. */
interface DelayedSubject {
  /** In milliseconds, from when the server stored it. */
  readonly delay: number;
  /** The subject on which the message is stored when it is due. */
  readonly subject: string;
}

/** What a queue is called on the server. All of it begins with its name. */
export interface QueueNames {
  readonly stream: string;
  /** The subjects of its messages. */
  readonly messages: string;
  /** The stream of what waits for its time. */
  readonly delayedStream: string;
  /** The subjects of what waits for its time. */
  readonly delayed: string;
  /** The consumer of what waits for its time. */
  readonly mover: string;
  /** What the subjects begin with on which its connections receive answers and deliveries. A user that may subscribe to no others cannot receive those of another queue. */
  readonly inbox: string;
  /** The stream of what is no message. */
  readonly aside: string;
  /** The subjects of the messages for one group each. */
  readonly targeted: string;
  /** The subjects of the delayed messages for one group each. */
  readonly targetedDelayed: string;
  consumer(group: ConsumerGroup): string;
  /** The subjects of the messages for one group only. @param consumer its consumer */
  targetedTo(consumer: string): string;
  /** The subject of a message: for all groups, or for one. */
  subject(key: QueueKey, group?: ConsumerGroup): string;
  /** The subject of a message that waits for its time. */
  delayedSubject(key: QueueKey, delay: number, group?: ConsumerGroup): string;
  /** The consumer of the only group that gets a message. Undefined: all groups get it. */
  targetOf(subject: string): string | undefined;
  /** The same of a delayed message. */
  delayedTargetOf(subject: string): string | undefined;
  /** Reads the subject of a delayed message. Undefined if it is none. */
  readDelayed(subject: string): DelayedSubject | undefined;
  /** The subject of a delayed message that only the group of this consumer gets. */
  delayedSubjectFor(consumer: string, delay: number, subject: string): string;
  /** Where the key begins in the subject of a message. */
  keyStart(subject: string): number;
  /** The subject on which what is no message is kept. */
  asideSubject(subject: string): string;
}

/** The names of a queue. A tilde before a word stands in none that is made of a name, so no two queues meet. */
export function queueNames(queue: string): QueueNames {
  const stream = safeName(queue, LONGEST_NAME);
  const delayedStream = `${stream}~delayed`;
  const aside = `${stream}~aside`;
  // Asked for with each message.
  const consumers = new Map<ConsumerGroup, string>();
  const consumer = (group: ConsumerGroup): string => {
    const name = consumers.get(group) ?? safeName(group, LONGEST_NAME);
    consumers.set(group, name);
    return name;
  };
  const targetedPrefix = `${stream}.${FOR_ONE}.`;
  const delayedTarget = new RegExp(`^\\d+\\.${FOR_ONE}\\.([^.]+)\\.`);
  const target = (group: ConsumerGroup | undefined) => (group === undefined ? '' : `${FOR_ONE}.${consumer(group)}.`);
  /** Where the name of the consumer ends in the subject of a message for one group. -1: it is none. */
  const targetEnd = (subject: string) =>
    subject.startsWith(targetedPrefix) ? subject.indexOf('.', targetedPrefix.length) : -1;
  return {
    stream,
    messages: `${stream}.>`,
    delayedStream,
    delayed: `${delayedStream}.>`,
    mover: 'mover',
    inbox: `_INBOX.${stream}`,
    aside,
    targeted: `${targetedPrefix}*.>`,
    targetedDelayed: `${delayedStream}.*.${FOR_ONE}.*.>`,
    consumer,
    targetedTo: (name) => `${targetedPrefix}${name}.>`,
    subject: (key, group) => `${stream}.${target(group)}${writeKey(key)}`,
    delayedSubject: (key, delay, group) => `${delayedStream}.${Math.ceil(delay)}.${target(group)}${writeKey(key)}`,
    targetOf: (subject) => {
      const end = targetEnd(subject);
      return end < 0 ? undefined : subject.slice(targetedPrefix.length, end);
    },
    delayedTargetOf: (subject) => delayedTarget.exec(subject.slice(delayedStream.length + 1))?.[1],
    readDelayed: (subject) => {
      const [, delay, rest] = DELAYED.exec(subject.slice(delayedStream.length + 1)) ?? [];
      return delay === undefined ? undefined : { delay: Number(delay), subject: `${stream}.${rest}` };
    },
    delayedSubjectFor: (name, delay, subject) =>
      `${delayedStream}.${Math.ceil(delay)}.${FOR_ONE}.${name}.${subject.slice(stream.length + 1)}`,
    keyStart: (subject) => {
      const end = targetEnd(subject);
      return end < 0 ? stream.length + 1 : end + 1;
    },
    asideSubject: (subject) => `${aside}.${subject}`,
  };
}

/** Whether the group of a consumer gets a message. @param target the consumer of the only group that gets it */
export function isFor(consumer: string, target: string | undefined): boolean {
  return target === undefined || target === consumer;
}

/** The group of a consumer. Undefined where the name was too long, or another program made the consumer. */
export function readGroup(consumer: string): ConsumerGroup | undefined {
  if (!/^(?:[\w-]|=[0-9A-F]{2})+$/.test(consumer)) return undefined;
  try {
    return decodeURIComponent(consumer.replaceAll('=', '%'));
  } catch {
    return undefined;
  }
}

/** A key as the tokens of a subject: `order.placed` stays, so that others can filter by it; what a subject cannot hold is percent-encoded. */
function writeKey(key: QueueKey): string {
  return encodeURIComponent(key).replace(/\*|^\.|\.(?=\.|$)/g, (character) => (character === '*' ? '%2A' : '%2E'));
}

/** The key in a subject after so many characters; undefined where it is none of ours. */
export function readKey(subject: string, from: number): string | undefined {
  try {
    return decodeURIComponent(subject.slice(from));
  } catch {
    // The subject is not percent-encoded as ours are: the message is quarantined.
    return undefined;
  }
}
