import { GroupLog } from '../../src/rabbitmq/group-log.js';

describe('GroupLog', () => {
  const create = () => {
    const said: unknown[][] = [];
    const level =
      (name: string) =>
      (...what: unknown[]) =>
        void said.push([name, ...what]);
    const logger = { debug: level('debug'), warn: level('warn'), error: level('error') };
    return { said, log: new GroupLog(logger, 'orders', 'billing') };
  };
  const error = new Error('Gone');
  const fields = { queue: 'orders', group: 'billing' };

  it('logs an expected event in one line and the error at debug', () => {
    const { said, log } = create();
    log.warn('Trying again', error, { id: '1' });
    expect(said).toEqual([
      ['warn', 'Trying again (Error: Gone)', { ...fields, id: '1' }],
      ['debug', 'Trying again', { ...fields, id: '1', error }],
    ]);
  });

  it('logs once when subscribers are refused and once when none is refused any more', () => {
    const { said, log } = create();
    const [first, second, third] = [{}, {}, {}].map((subscriber) => ({ subscriber, ...log.reportsOf(subscriber) }));
    for (const each of [first, second, third, first]) each?.refusals.add(error);
    first?.refusals.end();
    log.left(third?.subscriber as object);
    log.reportsOf({}).refusals.end();
    expect(said.filter(([level]) => level === 'warn')).toHaveLength(1);
    second?.refusals.end();
    second?.refusals.end();
    expect(said.filter(([level]) => level !== 'debug')).toEqual([
      ['warn', 'RabbitMQ refuses subscribers to group "billing" of queue "orders", trying again: Error: Gone', fields],
      [
        'warn',
        expect.stringMatching(
          /^RabbitMQ accepts subscribers to group "billing" of queue "orders" again after [\d.]+ s, 5 attempts$/,
        ),
        fields,
      ],
    ]);
  });

  it('logs a fatal error once until another subscriber is served', () => {
    const { said, log } = create();
    const count = () => said.filter(([level]) => level === 'error').length;
    const served = log.reportsOf({});
    served.fatalErrors.end();
    for (let n = 0; n < 50; n++) {
      log.reportsOf({}).fatalErrors.add(error);
      served.fatalErrors.end();
    }
    expect(count()).toBe(1);
    log.reportsOf({}).fatalErrors.end();
    log.reportsOf({}).fatalErrors.add(error);
    expect(count()).toBe(2);
  });

  it('logs an error with its cause if there is one', () => {
    const { said, log } = create();
    log.error('It fails', { error });
    log.error('It was moved', { key: 'k' });
    expect(said).toEqual([
      ['error', 'It fails', { ...fields, error }],
      ['error', 'It was moved', { ...fields, key: 'k' }],
    ]);
  });
});
