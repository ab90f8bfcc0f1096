import { RetentionPolicy } from '@nats-io/jetstream';
import { openConsumer } from './jetstream.mjs';

/**
 * Does not wait for confirmed acknowledgements. At the end, polls the server until it has processed
 * all.
 */
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
