/** Throws an error that is nobody's to catch where the process hears of it, as RxJS does, and lets the caller go on. */
export function throwLater(error: unknown): void {
  setTimeout(() => {
    throw error;
  });
}
