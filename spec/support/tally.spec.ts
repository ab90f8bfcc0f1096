import { BackendUnavailableError } from 'sluice';
import { Tally } from './tally.js';

describe('Tally', () => {
  let written: string;

  beforeEach(() => {
    written = '';
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
      written += text;
      return true;
    });
  });

  afterEach(() => jest.restoreAllMocks());

  const confirm = (tally: Tally, ...ids: number[]) =>
    Promise.all(ids.map((id) => tally.published(id, Promise.resolve())));

  const work = (tally: Tally, ...ids: number[]) => {
    for (const id of ids) {
      tally.started(id);
      tally.finished(id);
    }
  };

  it('prints the figures if every message was processed', async () => {
    const tally = new Tally();
    await confirm(tally, 1, 2);
    work(tally, 1, 2, 2);
    tally.close('a fault', 1);
    expect(written).toBe('a fault: 2 confirmed, 0 lost, 1 duplicates (at most 1)\n');
  });

  it('throws if a message is lost', async () => {
    const tally = new Tally();
    await confirm(tally, 1, 2);
    work(tally, 1);
    // Message 2 is started but not finished.
    tally.started(2);
    expect(() => tally.close('a fault', 9)).toThrow('lost 2');
  });

  it('does not expect erased messages', async () => {
    const tally = new Tally();
    await confirm(tally, 1, 2, 3);
    work(tally, 1);
    tally.emptied();
    expect(tally.over).toBe(3);
    work(tally, 2);
    expect(tally.over).toBe(3);
    await confirm(tally, 4);
    expect(tally.lost).toEqual([4]);
    expect(String(tally)).toBe('4 confirmed, 1 lost, 0 duplicates, 1 erased');
  });

  it('throws if more messages are duplicated than were in flight', async () => {
    const tally = new Tally();
    await confirm(tally, 1);
    work(tally, 1, 1, 1);
    expect(() => tally.close('a fault', 1)).toThrow('more duplicates');
  });

  it('ignores a message that may have been enqueued and throws if a refused message is delivered', async () => {
    const tally = new Tally();
    const fail = (message: string) => Promise.reject(new BackendUnavailableError(message));
    await tally.published(1, fail('No answer: the message may have been enqueued'));
    await tally.published(2, fail('No connection'));
    tally.close('a fault', 0);
    expect(written).toContain('1 may have been enqueued, 1 refused');
    work(tally, 1);
    tally.close('a fault', 0);
    work(tally, 2);
    expect(() => tally.close('a fault', 0)).toThrow('refused but delivered: 2');
  });
});
