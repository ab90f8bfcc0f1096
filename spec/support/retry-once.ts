/**
 * Runs each failed test of this file once more and prints why it failed.
 * Use it only for suites that inject faults into real servers, whose timing no test controls. CI
 * fails if more than three tests were retried.
 */
export function retryOnce(): void {
  jest.retryTimes(1, { logErrorsBeforeRetry: true });
}
