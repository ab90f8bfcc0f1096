/**
 * Waits for a response until a deadline. Ignores a late response, also if it is an error. A
 * response that has arrived is in time, even if the blocked event loop has not read it yet.
 * @param deadline in milliseconds
 * @param late creates the error if the deadline passes first
 * @param keepAlive whether the process stays alive until the deadline. Default: true
 */
export async function withDeadline<Value>(
  request: Promise<Value>,
  deadline: number,
  late: () => Error,
  keepAlive = true,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  let immediate: NodeJS.Immediate | undefined;
  const passed = new Promise<never>((_, reject) => {
    // The event loop reads sockets between timers and immediates.
    timer = setTimeout(() => {
      immediate = setImmediate(() => reject(late()));
    }, deadline);
    if (!keepAlive) timer.unref();
  });
  try {
    return await Promise.race([request, passed]);
  } finally {
    clearTimeout(timer);
    clearImmediate(immediate);
  }
}

/** Waits for a promise, but at most for `longest` milliseconds. */
export async function within(longest: number, end: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise((resolve) => {
    timer = setTimeout(resolve, longest);
  });
  try {
    await Promise.race([end, enough]);
  } finally {
    clearTimeout(timer);
  }
}
