/** Throws an error as an uncaught exception, as RxJS does, and lets the caller continue. */
export function throwLater(error: unknown): void {
  setTimeout(() => {
    throw error;
  });
}
