import { setTimeout as sleep } from 'node:timers/promises';
import { common, countAcks, payload } from './common.mjs';

const CALM = 1000;

/** The defaults of the scenarios in which a consumer waits for messages. */
export const idle = { ...common, messages: 0, rounds: 1, warmUps: 0 };

/** Opens a consumer that has received one message and now waits for more. */
export async function openIdle(contender, url) {
  const publisher = await contender.publisher(url);
  const consumer = await contender.consumer(url);
  const { acked, all } = countAcks(1);
  consumer.start(() => {}, acked);
  await publisher.publish(payload(0));
  await all;
  await publisher.close();
  await sleep(CALM);
}
