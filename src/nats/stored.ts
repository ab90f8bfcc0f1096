import type { StoredMsg, StreamState } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import type { NatsLink } from './link.js';

/** How many messages are read or deleted at a time at most. */
const MOST_AT_ONCE = 256;

/** How many bytes are read at a time, as far as the average size tells. */
const BYTES_AT_ONCE = 1024 * 1024;

/** In a stream that has more gaps than this share of its sequence numbers, messages are read one after the other. */
const DENSE = 0.25;

/** Reads the messages of a stream in order, from `from` to the last one that it has now. It takes none of them. */
export async function* readStored(link: NatsLink, stream: string, from: number): AsyncGenerator<StoredMsg> {
  const { streams } = link.manager;
  const { state } = await streams.info(stream);
  const { messages, first_seq, last_seq } = state;
  let next = Math.max(from, first_seq);
  if (messages === 0) return;
  if (!isDense(state)) {
    while (next <= last_seq) {
      const message = await streams.getMessage(stream, { seq: next, next_by_subj: '>' });
      if (message === undefined || message.seq > last_seq) return;
      yield message;
      next = message.seq + 1;
    }
    return;
  }
  for (const atOnce = countAtOnce(state); next <= last_seq; next += atOnce) {
    const sequences = [...range(next, Math.min(last_seq, next + atOnce - 1))];
    const found = await Promise.all(sequences.map((seq) => streams.getMessage(stream, { seq })));
    for (const message of found) if (message !== undefined) yield message;
  }
}

/** Deletes messages of a stream. Resolves to how many it deleted. */
export async function deleteStored(link: NatsLink, stream: string, sequences: Iterable<number>): Promise<number> {
  const subject = `${link.api}.STREAM.MSG.DELETE.${stream}`;
  let deleted = 0;
  const flush = async (together: readonly number[]) => {
    const answers = await Promise.all(
      together.map((seq) => link.request(subject, JSON.stringify({ seq, no_erase: true }))),
    );
    for (const answer of answers) if (answer.json<{ readonly success?: boolean }>().success === true) deleted += 1;
  };
  let together: number[] = [];
  for (const sequence of sequences) {
    together.push(sequence);
    if (together.length < MOST_AT_ONCE) continue;
    await flush(together);
    together = [];
  }
  await flush(together);
  return deleted;
}

/** Deletes all messages of a stream between two sequence numbers. Resolves to how many it deleted. */
export async function deleteBetween(link: NatsLink, stream: string, first: number, last: number): Promise<number> {
  const { state } = await link.manager.streams.info(stream);
  if (isDense(state)) return deleteStored(link, stream, range(Math.max(first, state.first_seq), last));
  const sequences: number[] = [];
  for await (const { seq } of readStored(link, stream, first)) {
    if (seq > last) break;
    sequences.push(seq);
  }
  return deleteStored(link, stream, sequences);
}

/** A stored message, as `readMessage` takes it. */
export function asMessage(stored: StoredMsg): Pick<Msg, 'subject' | 'string' | 'headers'> {
  return {
    subject: stored.subject,
    string: () => stored.string(),
    get headers() {
      return stored.header;
    },
  };
}

/** When the server stored a message, in milliseconds since the epoch. */
export function storedAt({ time }: StoredMsg): number {
  return time.getTime();
}

function isDense({ messages, first_seq, last_seq }: StreamState): boolean {
  return messages >= (last_seq - first_seq + 1) * DENSE;
}

function* range(first: number, last: number): Generator<number> {
  for (let sequence = first; sequence <= last; sequence++) yield sequence;
}

function countAtOnce({ messages, bytes }: StreamState): number {
  return Math.max(1, Math.min(MOST_AT_ONCE, Math.floor((BYTES_AT_ONCE * messages) / Math.max(1, bytes))));
}
