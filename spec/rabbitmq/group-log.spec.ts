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

  it('says what is expected in one line, and keeps the error for debug', () => {
    const { said, log } = create();
    log.warn('Trying again', error, { id: '1' });
    expect(said).toEqual([
      ['warn', 'Trying again (Error: Gone)', { ...fields, id: '1' }],
      ['debug', 'Trying again', { ...fields, id: '1', error }],
    ]);
  });

  it('says an error with its cause, if there is one', () => {
    const { said, log } = create();
    log.error('It fails', { error });
    log.error('It was moved', { key: 'k' });
    expect(said).toEqual([
      ['error', 'It fails', { ...fields, error }],
      ['error', 'It was moved', { ...fields, key: 'k' }],
    ]);
  });
});
