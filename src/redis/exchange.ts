import type { ConsumerGroup } from '../backend.js';
import type { PendingSettlement } from '../core/settlement-queue.js';
import type { QueueKeys } from './keys.js';
import type { RedisLink } from './link.js';
import type { Fields } from './message.js';
import type { LostReply } from './read-size.js';
import { isReply } from './redis-errors.js';
import { exchangeScript } from './scripts/index.js';

/** How a message is settled. */
export type Action =
  | { readonly kind: 'ack' }
  /** `deliveries`: how many deliveries count. `delay`: in milliseconds, from the settlement on. */
  | { readonly kind: 'requeue'; readonly deliveries: number; readonly delay: number }
  | { readonly kind: 'quarantine'; readonly reason: string };

export type Pending = PendingSettlement<Action>;

/** A request of a consumer to its group. */
export interface Request {
  /** How many messages the consumer has credit for. */
  readonly want: number;
  /** How many bytes of messages to read at most, but at least one message. Infinity: no limit. */
  readonly maxBytes: number;
  readonly settlements: readonly Pending[];
  /** The wake-ups that the consumer has received. */
  readonly wakeUps: readonly string[];
  /** The consumer no longer waits for the next due message: another consumer must. */
  readonly stopsWatching: boolean;
  /** Look for consumers whose lease has expired. */
  readonly reclaim: boolean;
  /** For how long the server has answered the consumer without a gap, in milliseconds. */
  readonly steady: number;
  /** The messages in flight. Given if the server may count more as in flight. */
  readonly held: readonly string[] | undefined;
  /** As far as the consumer knows, no message is requeued or becomes due. */
  readonly onlyNew: boolean;
  /** The consumer has been in the group before. */
  readonly joined: boolean;
  /** The consumer leaves the group. */
  readonly leave: boolean;
}

/** A message of the stream; `attempt` counts its deliveries to this group. */
export type Entry = readonly [id: string, fields: Fields, attempt?: number];

/** The reply of the group. */
export interface Answer {
  /** Whether each settlement but `quarantine` counted, as '1' or '0'. The acks come first. */
  readonly counted: string;
  /** In the order of delivery. A message without `attempt` was never delivered before. */
  readonly messages: readonly Entry[];
  /** In how many milliseconds a message becomes due or a lease may expire. Undefined: unknown. */
  readonly wait: number | undefined;
  /** Messages that another program has deleted before they could be redelivered. */
  readonly deleted: readonly string[];
  /** There are more messages than `maxBytes` allows. */
  readonly more: boolean;
  /** The messages that were lost on the way to the consumer. Undefined without `held`. */
  readonly lost: LostReply | undefined;
}

/** A consumer of a group. */
export interface Asker {
  readonly keys: QueueKeys;
  readonly group: ConsumerGroup;
  readonly consumer: string;
  /** In milliseconds. */
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

/** Sends settlements and fetches messages. Resolves to undefined if the group is missing. */
export async function exchange(link: RedisLink, asker: Asker, request: Request): Promise<Answer | undefined> {
  const { keys, group } = asker;
  const { stream, wakeStream, delayed, quarantine, settled, addressed } = keys;
  const ofGroup = [keys.requeued(group), keys.retries(group)];
  const names = [stream, wakeStream, delayed, ...ofGroup, quarantine, settled, keys.fence(group), addressed];
  const replied = link.run(exchangeScript, names, scriptArguments(asker, request)) as Promise<string | Reply>;
  // A script makes new messages cost twice as much. Together, the two commands take one round trip
  // and one flush to disk.
  const [reply, read] = await Promise.all([replied, request.onlyNew ? readNew(link, asker, request.want) : []]);
  if (typeof reply === 'string' || read === undefined) return undefined;
  const [counted, redelivered, fresh, wait, deleted, more, lost] = reply;
  return {
    counted,
    messages: redelivered.length === 0 && fresh.length === 0 ? read : [...redelivered, ...fresh],
    wait: wait < 0 ? undefined : wait,
    deleted,
    more: more === 1,
    lost: lost && { count: lost[0], bytes: lost[1], id: lost[2] },
  };
}

function scriptArguments({ group, consumer, lease }: Asker, request: Request): string[] {
  const { want, maxBytes, settlements, wakeUps, stopsWatching, reclaim, steady, held, onlyNew, joined, leave } =
    request;
  const { acked, requeue, quarantine } = settlementArguments(settlements);
  // JSON omits undefined fields.
  const rare = {
    resent: settlements[0]?.again || undefined,
    joined: joined || undefined,
    reclaim: reclaim || undefined,
    stopsWatching: stopsWatching || undefined,
    leave: leave || undefined,
    maxBytes: maxBytes === Number.POSITIVE_INFINITY ? undefined : Math.ceil(maxBytes),
    wakeUps: wakeUps.length === 0 ? undefined : wakeUps,
    requeue: requeue.length === 0 ? undefined : requeue,
    quarantine: quarantine.length === 0 ? undefined : quarantine,
    held,
  };
  const numbers = [onlyNew ? 0 : want, lease, steady].map(String);
  return [group, consumer, ...numbers, acked, JSON.stringify(rare)];
}

/** Lists settlements as the script takes them. */
export function settlementArguments(settlements: readonly Pending[]): {
  /** The ids, separated by commas. */
  readonly acked: string;
  /** The delay in milliseconds. */
  readonly requeue: (readonly [id: string, deliveries: number, delay: number])[];
  readonly quarantine: (readonly [id: string, reason: string])[];
} {
  const { acked, requeued, quarantined } = sorted(settlements);
  return {
    acked: acked.map(({ id }) => id).join(','),
    requeue: requeued.map(({ id, action, settledAt }) => {
      const delay = action.delay === 0 ? 0 : Math.max(0, Math.ceil(settledAt + action.delay - performance.now()));
      return [id, action.deliveries, delay];
    }),
    quarantine: quarantined.map(({ id, action }) => [id, action.reason]),
  };
}

/** Reads whether each settlement counted from `Answer.counted`. */
export function countedOf(settlements: readonly Pending[], answer: string): (settlement: Pending) => boolean {
  if (!answer.includes('0')) return () => true;
  const { acked, requeued } = sorted(settlements);
  const uncounted = new Set([...acked, ...requeued].filter((_, index) => answer[index] !== '1'));
  return (settlement) => !uncounted.has(settlement);
}

type Of<Kind extends Action['kind']> = Pending & { readonly action: Extract<Action, { kind: Kind }> };

function sorted(settlements: readonly Pending[]): {
  readonly acked: readonly Pending[];
  readonly requeued: readonly Of<'requeue'>[];
  readonly quarantined: readonly Of<'quarantine'>[];
} {
  const of = <Kind extends Action['kind']>(kind: Kind) =>
    settlements.filter((settlement): settlement is Of<Kind> => settlement.action.kind === kind);
  const [requeued, quarantined] = [of('requeue'), of('quarantine')];
  // Nearly always all are acks.
  const acked = requeued.length + quarantined.length === 0 ? settlements : of('ack');
  return { acked, requeued, quarantined };
}

/** Reads new messages of the group. Resolves to undefined if the group is missing. */
async function readNew(
  link: RedisLink,
  { keys, group, consumer }: Asker,
  count: number,
): Promise<readonly Entry[] | undefined> {
  const of = ['GROUP', group, consumer, 'COUNT', String(count), 'STREAMS', keys.stream, '>'];
  try {
    const reply = await link.send(['XREADGROUP', ...of]);
    return (reply as [[key: string, entries: Entry[]]] | null)?.[0][1] ?? [];
  } catch (error) {
    if (isReply(error) && error.message.startsWith('NOGROUP')) return undefined;
    throw error;
  }
}
