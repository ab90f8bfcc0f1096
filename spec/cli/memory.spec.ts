import { Cli } from '../support/cli.js';

describe('sluice on memory', () => {
  const cli = new Cli({ QUEUE_BACKEND: 'memory', QUEUE_NAME: 'orders' });

  afterEach(() => cli.stop());

  it('publishes, and warns that the message is lost', async () => {
    const { code, out, err } = await cli.run('publish', 'orders.created', '{"order":7}');
    expect({ code, out }).toEqual({ code: 0, out: '{"confirmed":1}\n' });
    expect(err).toMatch(/^warning: Queue "orders" is a MemoryBackend.*lost when it exits.*\n$/);
  });

  it('measures the engine', async () => {
    const [result] = await cli.values('bench', '--messages', '1000');
    expect(result).toMatchObject({ messages: 1000, size: 100, publish: expect.any(Number) });
  });

  it.each(['consume', 'peek', 'stats', 'groups', 'doctor'])('%s says that the queue is elsewhere', async (command) => {
    const { code, out, err } = await cli.run(command);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toBe(
      'error: Queue "orders" does not exist here: a MemoryBackend lives in the process of its service. ' +
        'Set QUEUE_BACKEND or --backend to the engine of the service.\n',
    );
  });
});
