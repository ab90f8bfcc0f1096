import type { ConsumerGroup } from '../backend.js';
import type { Connection } from './connection.js';
import type { QueueKeys } from './keys.js';
import type { Fields } from './message.js';
import { exchangeScript } from './scripts/index.js';
import { type Settlement, settlementArguments } from './settlements.js';

/** What a consumer says to its group. */
export interface Request {
  /** How many messages it can take. */
  readonly want: number;
  readonly settlements: readonly Settlement[];
  /** Rings of the bell that it has heard. */
  readonly heard: readonly string[];
  /** It will not wait for what falls due any more: somebody else has to. */
  readonly unwatched: boolean;
  /** Look for consumers that have died. */
  readonly tend: boolean;
  /** What it holds, where it may have been given what it never got. */
  readonly known: readonly string[] | undefined;
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
}

/** Who asks, and of whom. */
export interface Asker {
  readonly keys: QueueKeys;
  readonly group: ConsumerGroup;
  readonly consumer: string;
  readonly lease: number;
}

/** One exchange of a consumer with its group. Resolves to undefined when the group is not there. */
export async function exchange(connection: Connection, { keys, group, consumer, lease }: Asker, request: Request): Promise<Answer | undefined> {
  const { want, settlements, heard, unwatched, tend, known, established, leave } = request;
  const flags = [settlements[0]?.again && 'a', known && 'k', tend && 't', established && 'e', unwatched && 'w', leave && 'l']
    .filter(Boolean)
    .join('');
  const { acked, back, aside } = settlementArguments(settlements);
  const lists = [heard.length, ...heard, back.length / 3, ...back, aside.length / 2, ...aside, ...(known ?? [])];
  const reply = (await connection.run(
    exchangeScript,
    [keys.stream, keys.bell, keys.delayed, keys.returned(group), keys.later(group), keys.aside, keys.fence(group)],
    [group, consumer, String(want), String(lease), flags, acked, ...lists.map(String)],
  )) as string | [counted: string, redelivered: Entry[], fresh: Entry[], wait: number, deleted: string[]];
  if (typeof reply === 'string') return undefined;
  const [counted, redelivered, fresh, wait, deleted] = reply;
  return { counted, messages: redelivered.length === 0 ? fresh : [...redelivered, ...fresh], wait: wait < 0 ? undefined : wait, deleted };
}
