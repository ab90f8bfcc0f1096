/**
 * The limit: the commands alone, with a stream and a group. It deletes nothing from the stream,
 * does not block for messages and does not look for dead consumers. A lost connection loses
 * messages.
 */
import { createClient } from 'redis';
import { KEY, PREFETCH, QUEUE } from '../../contenders/names.mjs';

const GROUP = 'bench';

async function open(url) {
  const client = await createClient({ url }).connect();
  await client.xGroupCreate(QUEUE, GROUP, '0', { MKSTREAM: true }).catch((error) => {
    if (!error.message.startsWith('BUSYGROUP')) throw error;
  });
  return client;
}

export const publisher = (url) =>
  openPublisher(
    url,
    async (client) => (payload) => client.xAdd(QUEUE, '*', { key: KEY, payload: JSON.stringify(payload) }),
  );

/** @param prepare receives the client and resolves to a function that sends a payload */
export async function openPublisher(url, prepare) {
  const client = await open(url);
  return {
    publish: await prepare(client),
    async unfinished() {
      const [group] = await client.xInfoGroups(QUEUE);
      const unread = await client.xRange(QUEUE, `(${group['last-delivered-id']}`, '+');
      return unread.length + group.pending;
    },
    close: () => client.destroy(),
  };
}

/** Acknowledges all messages of one read with one XACK. */
export const consumer = (url) => openConsumer(url, (client, ids) => client.xAck(QUEUE, GROUP, ids));

/** @param ack acknowledges ids and resolves when the server confirms */
export async function openConsumer(url, ack) {
  const client = await open(url);
  let closing = false;
  const consume = async (take, acked) => {
    while (!closing) {
      const reply = await client.xReadGroup(GROUP, String(process.pid), { key: QUEUE, id: '>' }, { COUNT: PREFETCH });
      if (reply === null) return;
      const ids = reply[0].messages.map(({ id, message }) => {
        take(JSON.parse(message.payload).n);
        return id;
      });
      await ack(client, ids);
      acked(ids.length);
    }
  };
  let running;
  return {
    start(take, acked) {
      running = consume(take, acked);
    },
    async close() {
      closing = true;
      await running;
      client.destroy();
    },
  };
}

export { GROUP };
