import type { ConsumerGroup } from '../backend.js';
import type { Connection } from './connection.js';
import type { QueueKeys } from './keys.js';
import type { Fields } from './message.js';
import type { LostReply } from './read-size.js';
import { isReply } from './redis-errors.js';
import { exchangeScript } from './scripts/index.js';
import { type Settlement, settlementArguments } from './settlements.js';

/** What a consumer says to its group. */
export interface Request {
  /** How many messages it can take. */
  readonly want: number;
  /** The most bytes of messages to read, but at least one message. Infinity: no limit. */
  readonly bytes: number;
  readonly settlements: readonly Settlement[];
  /** Rings of the bell that it has heard. */
  readonly heard: readonly string[];
  /** It will not wait for what falls due any more: somebody else has to. */
  readonly unwatched: boolean;
  /** Look for consumers that have died. */
  readonly tend: boolean;
  /** For how long the server has answered it without a gap, in milliseconds. */
  readonly steady: number;
  /** What it holds, where it may have been given what it never got. */
  readonly known: readonly string[] | undefined;
  /** As far as it knows, nothing waits to be delivered again or falls due: there is only what is new. */
  readonly plain: boolean;
  /** It has been in the group before. */
  readonly established: boolean;
  /** This is the last of it. */
  readonly leave: boolean;
}

/** A message of the stream; `attempt` counts its deliveries to this group. */
export type Entry = readonly [id: string, fields: Fields, attempt?: number];

/** What the group answers. */
export interface Answer {
  /** Whether each settlement counted: a '1' or a '0'. */
  readonly counted: string;
  /** In the order in which they are to be delivered. What has no attempt was never delivered before. */
  readonly messages: readonly Entry[];
  /** How long until something falls due, in milliseconds; undefined: nothing will that is known. */
  readonly wait: number | undefined;
  /** Messages that had to be delivered again, and that somebody else has deleted. */
  readonly deleted: readonly string[];
  /** There are more messages than the bytes that it wanted. */
  readonly more: boolean;
  /** What it was given and never got; undefined unless it had told what it holds. */
  readonly lost: LostReply | undefined;
}

/** Who asks, and of whom. */
export interface Asker {
  readonly keys: QueueKeys;
  readonly group: ConsumerGroup;
  readonly consumer: string;
  readonly lease: number;
}

type Reply = [
  counted: string,
  redelivered: Entry[],
  fresh: Entry[],
  wait: number,
  deleted: string[],
  more: number,
  lost?: [count: number, bytes: number, id: string],
];

/** One exchange of a consumer with its group. Resolves to undefined when the group is not there. */
export async function exchange(connection: Connection, asker: Asker, request: Request): Promise<Answer | undefined> {
  const { keys, group } = asker;
  const settled = connection.run(
    exchangeScript,
    [
      keys.stream,
      keys.wakeStream,
      keys.delayed,
      keys.requeued(group),
      keys.retries(group),
      keys.quarantine,
      keys.settled,
      keys.fence(group),
      keys.addressed,
    ],
    scriptArguments(asker, request),
  ) as Promise<string | Reply>;
  // What is new comes through a script at twice the cost. Sent together, the two take one round trip, and one flush to the disk.
  const [reply, read] = await Promise.all([settled, request.plain ? readNew(connection, asker, request.want) : []]);
  if (typeof reply === 'string' || read === undefined) return undefined;
  const [counted, redelivered, fresh, wait, deleted, more, lost] = reply;
  const messages = redelivered.length === 0 && fresh.length === 0 ? read : [...redelivered, ...fresh];
  return {
    counted,
    messages,
    wait: wait < 0 ? undefined : wait,
    deleted,
    more: more === 1,
    lost: lost && { count: lost[0], bytes: lost[1], id: lost[2] },
  };
}

function scriptArguments({ group, consumer, lease }: Asker, request: Request): string[] {
  const { want, bytes, settlements, heard, unwatched, tend, steady, known, plain, established, leave } = request;
  const { acked, requeue, quarantine } = settlementArguments(settlements);
  // JSON leaves out what is undefined.
  const rare = {
    resent: settlements[0]?.again || undefined,
    joined: established || undefined,
    reclaim: tend || undefined,
    stopsWatching: unwatched || undefined,
    leave: leave || undefined,
    maxBytes: bytes === Number.POSITIVE_INFINITY ? undefined : Math.ceil(bytes),
    wakeUps: orUndefined(heard),
    requeue: orUndefined(requeue),
    quarantine: orUndefined(quarantine),
    held: known,
  };
  const numbers = [plain ? 0 : want, lease, steady].map(String);
  return [group, consumer, ...numbers, acked, JSON.stringify(rare)];
}

function orUndefined<List extends readonly unknown[]>(list: List): List | undefined {
  return list.length === 0 ? undefined : list;
}

/** What nobody of the group has got yet. Resolves to undefined when the group is not there. */
async function readNew(
  connection: Connection,
  { keys, group, consumer }: Asker,
  count: number,
): Promise<readonly Entry[] | undefined> {
  try {
    const reply = await connection.send([
      'XREADGROUP',
      'GROUP',
      group,
      consumer,
      'COUNT',
      String(count),
      'STREAMS',
      keys.stream,
      '>',
    ]);
    return (reply as [[key: string, entries: Entry[]]] | null)?.[0][1] ?? [];
  } catch (error) {
    if (isReply(error) && error.message.startsWith('NOGROUP')) return undefined;
    throw error;
  }
}
