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
  /** The number of the request that got it, which distinguishes the deliveries of the message. */
  readonly request: number;
}

/** A message, or the last row of a reply, which has no place. */
export interface ReplyRow {
  readonly place: string | null;
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
  const isNotDone = ({ outcome }: StoredSettlement<Incoming>) => outcome !== 'done';
  const isQuarantine = ({ outcome }: StoredSettlement<Incoming>) => outcome === 'quarantine';
  const given = settlements.length > 0 ? settlements : undefined;
  const rare = settlements.some(isNotDone) ? settlements : undefined;
  return [
    list(inFlight, ({ place }) => place),
    list(given, ({ message }) => message.place),
    list(given, ({ message }) => message.request),
    list(rare, ({ outcome, attempt }) => (outcome === 'requeue' ? attempt : outcome === 'done' ? 0 : -1)),
    list(rare, ({ delay }) => Math.min(delay, UNLIMITED)),
    settlements.some(isQuarantine) ? settlements.map((one) => (isQuarantine(one) ? one.reason : null)) : null,
    demand,
  ];
}

/** An array of numbers as PostgreSQL reads it. The client would quote each one. */
function list<Item>(items: readonly Item[] | undefined, read: (item: Item) => string | number): string | null {
  return items === undefined ? null : `{${items.map(read).join(',')}}`;
}

/** Reads the reply of the function `exchange`. */
export function readReply(
  rows: readonly ReplyRow[],
  settlements: readonly StoredSettlement<Incoming>[],
  request: number,
): ExchangeReply<Incoming> {
  const last = rows.at(-1);
  const uncounted = last?.uncounted ? new Set(last.uncounted.slice(1, -1).split(',')) : undefined;
  return {
    settled: settlements.map(({ message }) => uncounted === undefined || !uncounted.has(message.place)),
    messages: rows.flatMap((row) => (row.place === null ? [] : [readMessage(row, row.place, request)])),
    wait: last?.wait ?? undefined,
  };
}

function readMessage(row: ReplyRow, place: string, request: number): Incoming {
  const { attempt, id, key, payload, metadata, published_at } = row;
  return {
    place,
    request,
    receipt: `${place}-${request}`,
    attempt,
    id: fromText(id),
    key: fromText(key),
    payload,
    metadata: metadata ?? undefined,
    publishedAt: published_at,
  };
}
