import type { GroupInfo } from 'sluice';
import { clockFindings, groupFindings, missingGroup, unreadable } from '../../src/cli/findings.js';

const group = (changes: Partial<GroupInfo> = {}): GroupInfo => ({
  name: 'billing',
  declared: false,
  ready: 2,
  unfinished: 3,
  consumers: 0,
  ...changes,
});

describe('The findings of sluice doctor', () => {
  it.each([
    [undefined, undefined],
    [1000, undefined],
    [-1000, undefined],
    [1001, '1s ahead of'],
    [-90_000, '2m behind'],
  ])('judge a clock difference of %s ms', (clockDifference, expected) => {
    const [finding] = clockFindings({ server: 'Redis', clients: [], clockDifference, findings: [] });
    if (expected === undefined) expect(finding).toBeUndefined();
    else
      expect(finding).toMatchObject({
        code: 'clock-difference',
        severity: 'problem',
        message: expect.stringContaining(`The clock of the server is ${expected} the clock of this machine.`),
      });
  });

  it.each([
    ['a group with a consumer', { consumers: 1 }],
    ['a group whose consumers are not known', { consumers: undefined }],
  ])('do not name %s', (_, changes) => {
    expect(groupFindings('orders', group(changes), false)).toEqual([]);
  });

  it.each([
    ['that can be deleted', {}, false, 'sluice delete-group billing --name orders --yes'],
    ['that is declared', { declared: true }, false, 'sluice purge --group billing --name orders --yes'],
    ['that is the only one', {}, true, 'sluice purge --group billing --name orders --yes'],
    ['with a strange name', { name: "it's" }, false, String.raw`sluice delete-group 'it'\''s' --name orders --yes`],
  ])('name a group without a consumer %s, with a command that works', (_, changes, isOnly, command) => {
    expect(groupFindings('orders', group(changes), isOnly)).toEqual([
      {
        code: 'group-without-consumer',
        severity: 'problem',
        message: expect.stringContaining(
          'has no consumer and retains 3 messages, and every message that is published.',
        ),
        command,
      },
    ]);
  });

  it('note a group without a consumer that retains nothing yet', () => {
    const empty = { ready: 0, unfinished: 0 };
    const codes = (changes: Partial<GroupInfo>, isOnly: boolean) =>
      groupFindings('orders', group({ ...empty, ...changes }), isOnly).map(({ severity, command }) => [
        severity,
        command,
      ]);
    expect(codes({}, false)).toEqual([['note', 'sluice delete-group billing --name orders --yes']]);
    // There is nothing to remove.
    expect(codes({}, true)).toEqual([['note', undefined]]);
    expect(codes({ declared: true }, false)).toEqual([['note', undefined]]);
  });

  it('name groups that are missing, and those that cannot be read', () => {
    expect(missingGroup('orders', 'audit')).toMatchObject({ code: 'group-missing', severity: 'problem' });
    expect(unreadable(new Error('permission denied\nfor redis://u:secret@host'))).toEqual({
      code: 'groups-unreadable',
      severity: 'problem',
      message: 'The groups cannot be read: permission denied for redis://***@host',
    });
  });
});
