import {
  ConnectionLostError,
  EngineErrors,
  type ErrorKind,
  FatalError,
  isTlsMismatch,
} from '../../src/core/engine-errors.js';
import { BackendUnavailableError, QueueClosedError } from '../../src/errors.js';

const failures = new EngineErrors(
  {
    engine: 'Broker',
    classify: (error): ErrorKind => (error === 'busy' ? 'refused' : error === 'forbidden' ? 'fatal' : 'retryable'),
    explain: (error) => (error === 'forbidden' ? 'The user may not do that' : undefined),
  },
  { queue: 'orders', server: 'somewhere:1' },
);

const { classify, explained, engine } = failures;

describe('EngineErrors', () => {
  it.each<[unknown, ErrorKind]>([
    [new ConnectionLostError('gone'), 'retryable'],
    [new FatalError('no way'), 'fatal'],
    [new BackendUnavailableError('no way', { retryable: false }), 'fatal'],
    [new BackendUnavailableError('not now'), 'retryable'],
    ['busy', 'refused'],
    ['forbidden', 'fatal'],
    [undefined, 'retryable'],
  ])('classifies %p as %s', (error, kind) => {
    expect([classify(error), engine]).toEqual([kind, 'Broker']);
  });

  it.each([
    ['forbidden', 'The user may not do that', false],
    ['busy', 'Broker cannot be used: "busy"', true],
    [new TypeError('odd'), 'Broker cannot be used: TypeError: odd', true],
    [undefined, 'Broker cannot be used: undefined', true],
    [
      new FatalError('The client could not be created', { cause: new Error('no such option') }),
      'Broker cannot be used: Error: no such option',
      false,
    ],
    [new ConnectionLostError('The connection was lost'), 'The connection was lost', true],
    [new ConnectionLostError('It is late', { cause: new Error('refused') }), 'It is late (Error: refused)', true],
  ])('explains %p as an error of this library', (cause, message, retryable) => {
    const error = explained(cause);
    expect(error).toEqual(new BackendUnavailableError(`${message} (queue "orders", Broker at somewhere:1)`));
    expect(error).toMatchObject({ cause, retryable });
  });

  it('returns an error of this library unchanged', () => {
    const error = new QueueClosedError('closed');
    expect(explained(error)).toBe(error);
  });

  it('reads anything that a client may throw', () => {
    const odd = {
      get message(): string {
        throw new Error('unreadable');
      },
    };
    for (const error of [null, 0, Symbol('odd'), Object.create(null), odd, new Proxy({}, {})]) {
      expect(explained(error)).toBeInstanceOf(BackendUnavailableError);
    }
  });
});

describe('isTlsMismatch', () => {
  it.each([
    { code: 'DEPTH_ZERO_SELF_SIGNED_CERT', message: 'self-signed certificate' },
    { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
    { code: 'CERT_HAS_EXPIRED' },
    { code: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    { code: 'ERR_SSL_WRONG_VERSION_NUMBER' },
    { message: 'UNABLE_TO_GET_ISSUER_CERT' },
  ])('recognizes %p', (error) => {
    expect(isTlsMismatch(error)).toBe(true);
  });

  it.each([
    {},
    { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED' },
    { code: 5 },
    new Error('Socket closed unexpectedly'),
  ])('does not match %p', (error) => {
    expect(isTlsMismatch(error)).toBe(false);
  });
});
