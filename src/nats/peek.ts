import type { StoredMsg } from '@nats-io/jetstream';
import type { MessageView } from '../backend.js';
import type { NatsSession } from './group-session.js';
import type { NatsLink } from './link.js';
import { readMessage } from './message.js';
import { isFor, type QueueNames } from './names.js';
import { asMessage, placeOf, readStored } from './stored.js';

/** How many messages `peek` reads from the first unsettled one to the last delivery. */
const MAX_BETWEEN = 10_000;

const MAX_DELAYED = 10_000;

interface PeekOptions {
  readonly names: QueueNames;
  readonly consumer: string;
  readonly session: NatsSession | undefined;
  readonly limit: number;
  /** Resolves when no delayed message is being moved. */
  readonly moved: () => Promise<void>;
}

/** Shows the waiting messages of a group: the ready ones, then the delayed ones by due time. */
export async function peek(link: NatsLink, options: PeekOptions): Promise<MessageView[]> {
  const { state } = await link.manager.streams.info(options.names.delayedStream);
  let { ready, delayed } = await peekStream(link, options);
  if (state.messages > 0 && ready.length < options.limit) {
    await options.moved();
    const views = await peekDelayed(link, options);
    // One that was moved meanwhile is among the ready ones now.
    ({ ready, delayed } = await peekStream(link, options));
    const moved = new Set(ready.map(identify));
    delayed.push(...views.filter((view) => !moved.has(identify(view))));
  }
  delayed.sort((one, other) => (one.due as number) - (other.due as number));
  return [...ready, ...delayed].slice(0, options.limit);
}

/** Messages with equal ids, outside the deduplication window, were published at other times. */
function identify({ id, publishedAt }: MessageView): string {
  return `${publishedAt} ${id}`;
}

async function peekStream(
  link: NatsLink,
  { names, consumer, session, limit }: PeekOptions,
): Promise<{ readonly ready: MessageView[]; readonly delayed: MessageView[] }> {
  const info = await link.manager.consumers.info(names.stream, consumer);
  const { num_ack_pending, num_waiting } = info;
  const floor = info.ack_floor.stream_seq;
  const last = info.delivered.stream_seq;
  const delayed: MessageView[] = [];
  const ready: MessageView[] = [];
  const requeued: MessageView[] = [];
  let pending = num_ack_pending;
  const readsBetween = pending > 0 && last - floor <= MAX_BETWEEN;
  for await (const stored of readStored(link, names.stream, (readsBetween ? floor : last) + 1)) {
    const { seq, subject } = stored;
    if (!isFor(consumer, names.targetOf(subject))) continue;
    if (seq > last) {
      if (requeued.length + ready.length >= limit) break;
      ready.push(...view(names, stored, subject, 1));
      continue;
    }
    if (session?.hasSettled(placeOf(stored)) === true) continue;
    const dueAt = session?.nacked.dueAt(String(seq));
    const isInFlight = session?.holds(seq) === true;
    if (isInFlight || dueAt !== undefined) pending -= 1;
    if (isInFlight) continue;
    const attempt = Math.max(1, 2 - (session?.releasesOf(seq) ?? 0));
    if (dueAt === undefined) requeued.push(...view(names, stored, subject, attempt));
    else delayed.push(...view(names, stored, subject, attempt, Date.now() + dueAt - performance.now()));
  }
  // The server says how many of these messages are unsettled, not which. A waiting consumer would
  // have got the requeued ones.
  const isKnown = requeued.length <= pending && num_waiting === 0;
  return { ready: isKnown ? [...requeued, ...ready] : ready, delayed };
}

async function peekDelayed(link: NatsLink, { names, consumer }: PeekOptions): Promise<MessageView[]> {
  const views: MessageView[] = [];
  let read = 0;
  for await (const stored of readStored(link, names.delayedStream, 1)) {
    if (++read > MAX_DELAYED) break;
    const delayed = names.readDelayed(stored.subject);
    if (delayed !== undefined && isFor(consumer, names.delayedTargetOf(stored.subject)))
      views.push(...view(names, stored, delayed.subject, 1, placeOf(stored).storedAt + delayed.delay));
  }
  return views;
}

/** Returns an empty list for an unreadable message. */
function view(names: QueueNames, stored: StoredMsg, subject: string, deliveries: number, due?: number): MessageView[] {
  const readable = { ...asMessage(stored), subject };
  const message = readMessage(readable, { deliveries, ...placeOf(stored) }, names.keyStart(subject));
  if (typeof message === 'string') return [];
  const { token, ...shown } = message;
  return [due === undefined ? shown : { ...shown, due }];
}
