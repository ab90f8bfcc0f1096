import { ConnectionLostError } from '../../src/core/engine-errors.js';
import type { Client } from '../../src/rabbitmq/client.js';
import { newResponseTimeout, OverdueError } from '../../src/rabbitmq/deadlines.js';
import { RabbitLink } from '../../src/rabbitmq/link.js';
import { never } from '../core/fake-driver.js';
import { fakeTime, pass } from '../core/fakes.js';
import { failureOf, rejectionOf, stateOf } from '../support/promises.js';

/** The response timeout of a new link, in milliseconds. */
const RESPONSE_TIMEOUT = newResponseTimeout().milliseconds;

beforeEach(fakeTime);

afterEach(() => jest.useRealTimers());

/** A link to a server that answers nothing but, optionally, the opening of channels. */
function linkTo({ opensChannels = true, owned = true }) {
  const channel = { active: true, on: () => channel, basicConsume: () => never, close: () => never };
  const destroySocket = jest.fn();
  const client = {
    on(event: string, listener: () => void) {
      if (event === 'connection') listener();
    },
    removeListener() {},
    acquire: () => (opensChannels ? Promise.resolve(channel) : never),
    unsafeDestroy() {},
    _socket: { destroy: destroySocket },
  } as unknown as Client;
  const link = new RabbitLink({
    client,
    owned,
    responseTimeout: newResponseTimeout(),
    lease: 30_000,
    lost() {},
    onOverdue() {},
  });
  const consume = async () =>
    (await link.openChannel(() => {})).basicConsume({ queue: 'orders', consumerTag: '0' }, () => {});
  return { link, destroySocket, consume };
}

describe('RabbitLink.destroy() while the server does not answer', () => {
  /** Expects that no timer keeps the process alive. */
  const expectNoTimer = async () => {
    await pass(0);
    expect(jest.getTimerCount()).toBe(0);
  };

  it('ends pending requests', async () => {
    const { link, consume } = linkTo({});
    await link.connect();
    const channel = await link.openChannel(() => {});
    const closed = channel.close();
    const consumed = consume();
    await pass(RESPONSE_TIMEOUT / 2);
    link.destroy();
    expect(await rejectionOf(consumed)).toEqual(new ConnectionLostError('The connection was closed'));
    expect(await stateOf(closed)).toBe('fulfilled');
    await expectNoTimer();
  });

  it.each([true, false])('does not wait for an abandoned channel to close (opened: %p)', async (opensChannels) => {
    const { link, consume } = linkTo({ opensChannels });
    await link.connect();
    const failure = failureOf(consume());
    await pass(RESPONSE_TIMEOUT);
    expect(await failure).toBeInstanceOf(OverdueError);
    link.destroy();
    await expectNoTimer();
  });

  it('destroys a given connection if the server does not close the channels', async () => {
    const { link, destroySocket, consume } = linkTo({ owned: false });
    void consume().catch(() => {});
    await pass(0);
    link.destroy();
    expect(destroySocket).not.toHaveBeenCalled();
    // The link waits for the request first, and then longer for the channel to close.
    for (let passed = 0; passed < 4; passed++) await pass(RESPONSE_TIMEOUT);
    expect(destroySocket).toHaveBeenCalledTimes(1);
    await expectNoTimer();
  });
});
