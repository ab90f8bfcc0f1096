import type { StoredMsg, StreamState } from '@nats-io/jetstream';
import type { NatsLink } from './link.js';
import type { Place, Readable } from './message.js';

/** How many messages are read or deleted at a time at most, and how many bytes are read. */
const BATCH = 256;
const BATCH_BYTES = 1024 * 1024;

/** The share of sequence numbers in use above which messages are read by number. */
const DENSE = 0.25;

/** Reads the messages of a stream in order, from `from` to the last one at the time of the call. */
export async function* readStored(link: NatsLink, stream: string, from: number): AsyncGenerator<StoredMsg> {
  const { streams } = link.manager;
  const { state } = await streams.info(stream);
  const { messages, bytes, first_seq, last_seq } = state;
  if (messages === 0) return;
  const first = Math.max(from, first_seq);
  if (!isDense(state)) {
    for await (const message of readMatching(link, stream, first, '>')) {
      if (message.seq > last_seq) return;
      yield message;
    }
    return;
  }
  const most = Math.min(BATCH, Math.floor((BATCH_BYTES * messages) / Math.max(1, bytes)));
  for (const batch of batches(range(first, last_seq), Math.max(1, most))) {
    const found = await Promise.all(batch.map((seq) => streams.getMessage(stream, { seq })));
    for (const message of found) if (message !== undefined) yield message;
  }
}

/** Reads the messages on some subjects in order, one at a time. */
export async function* readMatching(
  { manager }: NatsLink,
  stream: string,
  first: number,
  subjects: string,
): AsyncGenerator<StoredMsg> {
  for (let seq = first; ; ) {
    const message = await manager.streams.getMessage(stream, { seq, next_by_subj: subjects });
    if (message === undefined) return;
    yield message;
    seq = message.seq + 1;
  }
}

/** Deletes messages. Resolves to how many of them existed. */
export async function deleteStored(link: NatsLink, stream: string, sequences: Iterable<number>): Promise<number> {
  const { subject, write } = deletion(link, stream);
  let deleted = 0;
  for (const batch of batches(sequences)) {
    const responses = await Promise.all(batch.map((sequence) => link.request(subject, write(sequence))));
    deleted += responses.filter((response) => response.json<{ readonly success?: boolean }>().success === true).length;
  }
  return deleted;
}

/**
 * Lists the messages between two sequence numbers, in order. In a dense stream, some may not exist.
 */
export async function sequencesBetween(link: NatsLink, stream: string, first: number, last: number): Promise<number[]> {
  const { state } = await link.manager.streams.info(stream);
  if (isDense(state)) return [...range(Math.max(first, state.first_seq), last)];
  const sequences: number[] = [];
  for await (const { seq } of readStored(link, stream, first)) {
    if (seq > last) break;
    sequences.push(seq);
  }
  return sequences;
}

/** Returns the subject of requests that delete a message, and how to write one. */
export function deletion(link: NatsLink, stream: string) {
  return {
    subject: `${link.api}.STREAM.MSG.DELETE.${stream}`,
    write: (seq: number) => JSON.stringify({ seq, no_erase: true }),
  };
}

export function asMessage(stored: StoredMsg): Readable {
  return {
    subject: stored.subject,
    string: () => stored.string(),
    get headers() {
      return stored.header;
    },
  };
}

export function placeOf({ seq, time }: StoredMsg): Place {
  return { sequence: seq, storedAt: time.getTime() };
}

function isDense({ messages, first_seq, last_seq }: StreamState): boolean {
  return messages >= (last_seq - first_seq + 1) * DENSE;
}

export function* range(first: number, last: number): Generator<number> {
  for (let sequence = first; sequence <= last; sequence++) yield sequence;
}

export function* batches(sequences: Iterable<number>, most = BATCH): Generator<number[]> {
  let batch: number[] = [];
  for (const sequence of sequences) {
    if (batch.push(sequence) < most) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
