/**
 * The limit: the client alone, with a stream and a durable consumer. It deletes nothing from the
 * stream and does not publish again if a confirm is missing. Each acknowledgement is confirmed
 * separately, with as many in flight as the prefetch allows.
 */
import { randomBytes } from 'node:crypto';
import { AckPolicy, jetstream, jetstreamManager, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { KEY, PREFETCH, QUEUE } from '../../contenders/names.mjs';

const DURABLE = 'bench';

async function open(url, retention) {
  const connection = await connect({ servers: url, noAsyncTraces: true });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: QUEUE, subjects: [`${QUEUE}.>`], retention, storage: StorageType.File });
  await manager.consumers.add(QUEUE, { durable_name: DURABLE, ack_policy: AckPolicy.Explicit });
  return { connection, manager };
}

export async function openPublisher(url, retention) {
  const { connection, manager } = await open(url, retention);
  const client = jetstream(connection);
  const name = randomBytes(8).toString('hex');
  let number = 0;
  return {
    publish: (payload) => client.publish(`${QUEUE}.${KEY}`, JSON.stringify(payload), { msgID: `${name}-${++number}` }),
    unfinished: () => unsettled(manager),
    close: () => connection.close(),
  };
}

/**
 * @param settle acknowledges a message and resolves to whether the acknowledgement is known to be
 *   confirmed
 */
export async function openConsumer(url, retention, settle) {
  const { connection, manager } = await open(url, retention);
  const { consumers } = jetstream(connection);
  const consumer = await consumers.get(QUEUE, DURABLE);
  const consume = async (messages, take, acked) => {
    let out = 0;
    let wake = () => {};
    const confirmed = (counted) => {
      out--;
      acked(counted ? 1 : 0);
      wake();
    };
    for await (const message of messages) {
      take(message.json().n);
      out++;
      void settle(message).then(confirmed);
      if (out < PREFETCH) continue;
      await new Promise((resolve) => {
        wake = resolve;
      });
    }
  };
  return {
    async start(take, acked) {
      await consume(await consumer.consume({ max_messages: PREFETCH }), take, acked);
    },
    unsettled: () => unsettled(manager),
    close: () => connection.close(),
  };
}

async function unsettled(manager) {
  const { num_pending, num_ack_pending } = await manager.consumers.info(QUEUE, DURABLE);
  return num_pending + num_ack_pending;
}

export const publisher = (url) => openPublisher(url, RetentionPolicy.Limits);

export const consumer = (url) => openConsumer(url, RetentionPolicy.Limits, (message) => message.ackAck());
