import type { Channel } from '../../src/rabbitmq/client.js';
import type { Deadlines } from '../../src/rabbitmq/deadlines.js';
import { TimedChannel } from '../../src/rabbitmq/timed-channel.js';

/** A timed channel on a client with these additional methods. */
function requestsOf(methods: object): { readonly channel: TimedChannel; readonly nacked: unknown[] } {
  const nacked: unknown[] = [];
  const client = {
    active: true,
    on: () => undefined,
    basicNack: (options: unknown) => nacked.push(options),
    ...methods,
  } as unknown as Channel;
  const channel = new TimedChannel(client, {
    deadlines: {} as Deadlines,
    onEnd: () => undefined,
    onOverdue: () => undefined,
  });
  return { channel, nacked };
}

describe('TimedChannel.basicReject()', () => {
  const delivery = { deliveryTag: 7, requeue: true };

  it('sends `basic.reject`, which the client supports but does not offer', () => {
    const sent: unknown[] = [];
    const { channel, nacked } = requestsOf({ _invokeNowait: (...request: unknown[]) => sent.push(request) });
    channel.basicReject(delivery);
    expect(sent).toEqual([[0x3c005a, delivery]]);
    expect(nacked).toEqual([]);
  });

  it('nacks if the client hides how it sends requests', () => {
    const { channel, nacked } = requestsOf({});
    channel.basicReject(delivery);
    expect(nacked).toEqual([delivery]);
  });
});
