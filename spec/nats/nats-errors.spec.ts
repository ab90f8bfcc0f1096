import { isWithoutJetStream, kindOfCode, NATS_FAILURES } from '../../src/nats/nats-errors.js';

/** Codes with the status that the server gives them. */
const PASSING: readonly (readonly [code: number, status: number])[] = [
  [10002, 400],
  [10004, 503],
  [10005, 400],
  [10007, 500],
  [10008, 503],
  [10009, 500],
  [10012, 500],
  [10014, 404],
  [10023, 503],
  [10035, 503],
  [10039, 503],
  [10041, 500],
  [10048, 500],
  [10049, 500],
  [10051, 500],
  [10053, 500],
  [10059, 404],
  [10075, 503],
  [10077, 503],
  [10104, 500],
  [10118, 500],
  [10119, 500],
  [10124, 400],
  [10149, 400],
  [10158, 409],
  [10167, 429],
  [10202, 400],
  [10226, 400],
];

const FOR_GOOD: readonly (readonly [code: number, status: number])[] = [
  [10003, 400],
  [10010, 503],
  [10013, 400],
  [10025, 400],
  [10026, 400],
  [10027, 400],
  [10028, 500],
  [10036, 503],
  [10047, 500],
  [10052, 500],
  [10054, 400],
  [10058, 400],
  [10065, 400],
  [10074, 500],
  [10097, 400],
  [10105, 400],
  [10109, 400],
  [10113, 400],
  [10120, 400],
  [10121, 400],
  [10122, 400],
  [10148, 400],
];

/** An error as the client throws it. */
const apiError = (code: number, status: number) =>
  Object.assign(new Error('described'), { name: 'JetStreamApiError', code, status });

describe('The error codes of JetStream', () => {
  it.each(PASSING)('%i with status %i is refused for now', (code, status) => {
    expect(kindOfCode(code, status)).toBe('refused');
    expect(NATS_FAILURES.classify(apiError(code, status))).toBe('refused');
  });

  it.each(FOR_GOOD)('%i with status %i is fatal', (code, status) => {
    expect(kindOfCode(code, status)).toBe('fatal');
    expect(NATS_FAILURES.classify(apiError(code, status))).toBe('fatal');
  });

  it('10076 drops the connection: another server may have JetStream', () => {
    expect(NATS_FAILURES.classify(apiError(10076, 503))).toBe('retryable');
  });

  it.each([
    [500, 'refused'],
    [503, 'refused'],
    [429, 'refused'],
    [400, 'fatal'],
    [404, 'fatal'],
    [409, 'fatal'],
  ])('unknown codes are classified by their status: %i', (status, kind) => {
    expect(kindOfCode(19_999, status)).toBe(kind);
    expect(kindOfCode(undefined, status)).toBe(kind);
  });

  it.each([
    [10076, true],
    [10039, true],
    [10023, false],
  ])('%i says whether JetStream is enabled', (code, without) => {
    expect(isWithoutJetStream(apiError(code, 503))).toBe(without);
  });
});
