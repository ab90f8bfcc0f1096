/**
 * Waits for the answer to a request until its deadline. A late answer is ignored, also when it is an error. An answer that has arrived is in time, also if the event
 * loop was blocked and could not read it before.
 * @param deadline in milliseconds
 * @param late makes the error if the deadline passes first
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
    // The event loop reads what has arrived between the timers and the immediates.
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

/** Waits for something to end, but no longer than that many milliseconds. */
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
