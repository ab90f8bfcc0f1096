import { RetentionPolicy } from '@nats-io/jetstream';
import { openConsumer } from './jetstream.mjs';

/** No acknowledgement is confirmed; at the end the server is asked until it has taken them all. */
export async function consumer(url) {
  const opened = await openConsumer(url, RetentionPolicy.Limits, async (message) => {
    message.ack();
    return true;
  });
  const flush = async () => {
    while ((await opened.unsettled()) > 0);
  };
  return { ...opened, flush };
}

export { publisher } from './jetstream.mjs';
