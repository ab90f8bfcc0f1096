import type { ConsumerGroup, QueueKey } from '../backend.js';
import { safeName } from '../broker/safe-name.js';

/** The longest name of a stream or consumer, in characters: it becomes the name of a folder, and a part of subjects. */
const LONGEST_NAME = 128;

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
  consumer(group: ConsumerGroup): string;
  /** The subject of a message. */
  subject(key: QueueKey): string;
  /** The subject of a message that waits for its time. */
  delayedSubject(key: QueueKey, delay: number): string;
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
  return {
    stream,
    messages: `${stream}.>`,
    delayedStream,
    delayed: `${delayedStream}.>`,
    mover: 'mover',
    inbox: `_INBOX.${stream}`,
    aside,
    consumer,
    subject: (key) => `${stream}.${writeKey(key)}`,
    delayedSubject: (key, delay) => `${delayedStream}.${Math.ceil(delay)}.${writeKey(key)}`,
    asideSubject: (subject) => `${aside}.${subject}`,
  };
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
