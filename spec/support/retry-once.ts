/**
 * Runs a failed test of this file once more, and prints why it failed. Only for suites that inject faults into real servers: what a server does then
 * depends on moments that no test controls. CI fails when more than three tests needed it.
 */
export function retryOnce(): void {
  jest.retryTimes(1, { logErrorsBeforeRetry: true });
}
