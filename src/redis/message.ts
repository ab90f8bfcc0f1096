import type { ConsumerGroup } from '../backend.js';
import { type Message, readEnvelope } from '../core/envelope.js';
import { describe } from '../internal/describe.js';
import { isName } from '../internal/options.js';

/** The fields of an entry of the stream. Names and values alternate. */
export type Fields = readonly string[];

/** Whether a message is addressed to another group than this. */
export function isForAnother(fields: Fields, group: ConsumerGroup): boolean {
  for (let index = 0; index < fields.length; index += 2)
    if (fields[index] === 'group') return fields[index + 1] !== group;
  return false;
}

/**
 * Reads a message from an entry of the stream. Returns the reason if it is invalid.
 * @param entry the id of the entry
 * @param attempt which delivery of the message this is
 */
export function readMessage(entry: string, attempt: number, fields: Fields): Message | string {
  let id = entry;
  let key: string | undefined;
  let payload: string | undefined;
  let metadata: string | undefined;
  let publishedAt: string | undefined;
  for (let index = 0; index < fields.length; index += 2) {
    const value = fields[index + 1] as string;
    switch (fields[index]) {
      case 'key':
        key = value;
        break;
      case 'payload':
        payload = value;
        break;
      case 'headers':
        metadata = value;
        break;
      case 'publishedAt':
        publishedAt = value;
        break;
      case 'id':
        id = value;
        break;
      default:
    }
  }
  const content = readEnvelope({ key, payload, metadata });
  if (typeof content === 'string') return content;
  if (publishedAt !== undefined && !/^\d{1,16}$/.test(publishedAt))
    return `its "publishedAt" must be a time in milliseconds, got ${describe(publishedAt)}`;
  if (!isName(id)) return `its "id" must be 1 to 255 bytes of UTF-8, got ${describe(id)}`;
  // The id of an entry begins with the server's time. A delayed message enters the stream later
  // than it was published.
  const time = Number(publishedAt ?? entry.slice(0, entry.indexOf('-')));
  return { id, token: entry, ...content, attempt, publishedAt: time };
}
