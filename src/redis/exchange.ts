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
  /** This is the last of it. */
  readonly leave: boolean;
}

/** What the group answers. */
export interface Answer {
  /** Whether each settlement counted: a '1' or a '0'. */
  readonly counted: string;
  readonly messages: readonly (readonly [id: string, attempt: number, fields: Fields])[];
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
  const { want, settlements, heard, unwatched, tend, known, leave } = request;
  const flags = [settlements[0]?.again && 'a', known && 'k', tend && 't', unwatched && 'w', leave && 'l'].filter(Boolean).join('');
  const reply = (await connection.run(
    exchangeScript,
    [keys.stream, keys.bell, keys.delayed, keys.returned(group), keys.later(group), keys.aside],
    [group, consumer, String(want), String(lease), flags, String(heard.length), ...heard, ...settlementArguments(settlements), ...(known ?? [])],
  )) as string | [counted: string, messages: Answer['messages'], wait: number, deleted: string[]];
  if (typeof reply === 'string') return undefined;
  const [counted, messages, wait, deleted] = reply;
  return { counted, messages, wait: wait < 0 ? undefined : wait, deleted };
}
