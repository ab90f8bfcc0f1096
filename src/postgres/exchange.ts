import type {
  ExchangeReply,
  ExchangeRequest,
  IncomingMessage,
  OutgoingMessage,
  StoredSettlement,
} from '../core/pull-driver.js';
import { fromText, toText } from './names.js';

/** A delivery. */
export interface Incoming extends IncomingMessage {
  readonly place: string;
  /** Distinguishes the deliveries of the message to the group. */
  readonly claims: number;
}

/** A message, or the last row of a reply, which has no place. */
export interface ReplyRow {
  readonly place: string | null;
  readonly claims: number;
  readonly attempt: number;
  readonly id: string;
  readonly key: string;
  readonly payload: string;
  readonly metadata: string | null;
  readonly published_at: number;
  /** The places of settlements that did not count, such as `{7,9}`. */
  readonly uncounted: string | null;
  readonly wait: number | null;
}

/** Longer than any age or delay, in milliseconds: three centuries. */
export const UNLIMITED = 1e13;

/** The last arguments of the function `publish`. JSON is the fastest way to send many texts. */
export function publishArguments(messages: readonly OutgoingMessage[]): [plain: boolean, sent: string] {
  let isPlain = true;
  const sent = messages.map(({ id, key, payload, metadata, publishedAt: published, group, delay, deduplicate }) => {
    if (group !== undefined || delay > 0 || deduplicate) isPlain = false;
    return {
      id: toText(id),
      key: toText(key),
      payload,
      metadata,
      published,
      group: group && toText(group),
      delay: delay > 0 ? Math.min(delay, UNLIMITED) : undefined,
      given: deduplicate || undefined,
    };
  });
  return [isPlain, JSON.stringify(sent)];
}

/** The arguments of the function `exchange` from `held` to `demand`. */
export function exchangeArguments({ settlements, inFlight, demand }: ExchangeRequest<Incoming>): unknown[] {
  const rare = <Value>(
    has: (settlement: StoredSettlement<Incoming>) => boolean,
    read: (settlement: StoredSettlement<Incoming>) => Value,
  ) => (settlements.some(has) ? settlements.map(read) : null);
  const isNotDone = ({ outcome }: StoredSettlement<Incoming>) => outcome !== 'done';
  const all = settlements.length > 0;
  return [
    inFlight?.map(({ place }) => place) ?? null,
    all ? settlements.map(({ message }) => message.place) : null,
    all ? settlements.map(({ message }) => message.claims) : null,
    rare(isNotDone, ({ outcome, attempt }) => (outcome === 'requeue' ? attempt : outcome === 'done' ? 0 : -1)),
    rare(isNotDone, ({ delay }) => Math.min(delay, UNLIMITED)),
    rare(
      ({ outcome }) => outcome === 'quarantine',
      ({ outcome, reason }) => (outcome === 'quarantine' ? reason : null),
    ),
    demand,
  ];
}

/** Reads the reply of the function `exchange`. */
export function readReply(
  rows: readonly ReplyRow[],
  settlements: readonly StoredSettlement<Incoming>[],
): ExchangeReply<Incoming> {
  const last = rows.at(-1);
  const uncounted = last?.uncounted ? new Set(last.uncounted.slice(1, -1).split(',')) : undefined;
  return {
    settled: settlements.map(({ message }) => uncounted === undefined || !uncounted.has(message.place)),
    messages: rows.flatMap((row) => (row.place === null ? [] : [readMessage(row, row.place)])),
    wait: last?.wait ?? undefined,
  };
}

function readMessage({ claims, attempt, id, key, payload, metadata, published_at }: ReplyRow, place: string): Incoming {
  return {
    place,
    claims,
    receipt: `${place}-${claims}`,
    attempt,
    id: fromText(id),
    key: fromText(key),
    payload,
    metadata: metadata ?? undefined,
    publishedAt: published_at,
  };
}
