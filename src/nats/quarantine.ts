import { headers as createHeaders, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import { isTooLarge, type NatsLink } from './link.js';
import { copyHeaders, copyId, ID_HEADER, writeHeadersHeader } from './message.js';
import { store } from './publisher.js';
import type { NatsQueue } from './queue.js';

const REASON_HEADER = 'Sluice-Reason';

export async function quarantine(
  { topology, names }: NatsQueue,
  link: NatsLink,
  message: Msg,
  reason: string,
): Promise<void> {
  await topology.openQuarantine(link);
  const subject = names.quarantineSubject(message.subject);
  const withReason = (headers: MsgHdrs) => {
    headers.set(REASON_HEADER, writeHeadersHeader({ headers: { reason } }) ?? '');
    // If the lease expires meanwhile, the message is stored again: the server keeps one copy.
    headers.set(ID_HEADER, copyId(message.reply ?? ''));
    return headers;
  };
  try {
    await store(link, subject, message.data, withReason(copyHeaders(message)));
  } catch (error) {
    if (!isTooLarge(error)) throw error;
    // The message leaves no room for the reason: an empty message before it has the reason.
    await store(link, subject, new Uint8Array(), withReason(createHeaders()));
    await store(link, subject, message.data, copyHeaders(message));
  }
}
