import type { RabbitLink } from '../../src/rabbitmq/link.js';
import { queueNames } from '../../src/rabbitmq/names.js';
import { declareGroups } from '../../src/rabbitmq/topology.js';
import { fakeTime, pass } from '../core/fakes.js';
import { silentLogger } from '../support/recording-logger.js';

/** A link whose requests are answered when the given promise resolves. */
const linkThat = (answers: Promise<unknown>, declared: string[] = []) => {
  const declare = async ({ queue }: { readonly queue: string }) => {
    declared.push(queue);
    await answers;
  };
  const channel = {
    exchangeDeclare: () => answers,
    queueDeclare: declare,
    queueBind: () => answers,
    close: async () => undefined,
  };
  return { openChannel: async () => channel } as unknown as RabbitLink;
};

const optionsOf = (serverId = 'host 5672 /') => ({
  queueName: 'orders',
  names: queueNames('orders'),
  serverId,
  logger: silentLogger,
});

beforeEach(fakeTime);

afterEach(() => jest.useRealTimers());

describe('Declarations of one queue in one process', () => {
  it('run one after the other', async () => {
    let answer: (value?: unknown) => void = () => undefined;
    const answers = new Promise((resolve) => {
      answer = resolve;
    });
    const declared: string[] = [];
    const first = declareGroups(linkThat(answers, declared), ['a'], optionsOf());
    const second = declareGroups(linkThat(Promise.resolve(), declared), ['b'], optionsOf());
    await pass(1000);
    expect(declared).toEqual([]);
    answer();
    await Promise.all([first, second]);
    const group = (name: string) => ['orders:aside', `orders:group:${name}`, `orders:group:${name}:again`];
    expect(declared).toEqual([...group('a'), ...group('b')]);
  });

  it('do not wait for those on another server', async () => {
    void declareGroups(linkThat(new Promise(() => undefined)), ['a'], optionsOf());
    const declared: string[] = [];
    await declareGroups(linkThat(Promise.resolve(), declared), ['b'], optionsOf('host 5672 other'));
    expect(declared).toHaveLength(3);
    await pass(60_000);
  });

  it('continue if one of them never settles', async () => {
    void declareGroups(linkThat(new Promise(() => undefined)), ['a'], optionsOf());
    const declared: string[] = [];
    const second = declareGroups(linkThat(Promise.resolve(), declared), ['b'], optionsOf());
    await pass(60_000);
    expect(declared).toHaveLength(3);
    await second;
  });
});
