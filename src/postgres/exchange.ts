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

/** Longer than any age, in milliseconds: a search without a limit. */
export const UNLIMITED = 1e13;

/** The arguments of the function `publish` that hold messages. A rare one that none has is null. */
export function publishArguments(messages: readonly OutgoingMessage[]): unknown[] {
  const rare = <Value>(has: (message: OutgoingMessage) => boolean, read: (message: OutgoingMessage) => Value) =>
    messages.some(has) ? messages.map(read) : null;
  return [
    messages.map(({ id }) => toText(id)),
    rare(
      ({ deduplicate }) => deduplicate,
      ({ deduplicate }) => deduplicate,
    ),
    messages.map(({ key }) => toText(key)),
    // As JSON, a text of JSON is escaped as PostgreSQL expects it. Clients need gigabytes for this.
    `{${messages.map(({ payload }) => JSON.stringify(payload)).join()}}`,
    rare(
      ({ metadata }) => metadata !== undefined,
      ({ metadata = null }) => metadata,
    ),
    messages.map(({ publishedAt }) => publishedAt),
    rare(
      ({ group }) => group !== undefined,
      ({ group }) => (group === undefined ? null : toText(group)),
    ),
    rare(
      ({ delay }) => delay > 0,
      ({ delay }) => delay,
    ),
  ];
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
    rare(isNotDone, ({ delay }) => delay),
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
