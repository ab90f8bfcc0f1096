import { FatalErrors } from '../../src/core/fatal-errors.js';
import { recordingLogger } from '../support/recording-logger.js';

describe('FatalErrors', () => {
  it('are logged once each, until the group works again', () => {
    const logger = recordingLogger();
    const errors = new FatalErrors({ queue: 'a "b"', group: 'billing', logger });
    const failed = (message: string) => `The consumers of group "billing" of queue "a \\"b\\"" failed: ${message}`;
    for (const message of ['no password', 'no password', 'no right', 'no right']) errors.add(new Error(message));
    errors.end();
    errors.add(new Error('no right'));
    expect(logger.errors).toEqual(['no password', 'no right', 'no right'].map(failed));
    expect(logger.debugs).toEqual(['no password', 'no right'].map(failed));
    expect(logger.warnings).toEqual([]);
  });

  it('add the error to the details of the log entry', () => {
    const error = jest.fn();
    const cause = new Error('no password');
    new FatalErrors({ queue: 'orders', group: 'billing', logger: { ...recordingLogger(), error } }).add(cause);
    expect(error).toHaveBeenCalledWith(expect.any(String), { queue: 'orders', group: 'billing', error: cause });
  });
});
