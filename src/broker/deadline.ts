/**
 * Waits for the answer to a request until its deadline. A late answer is ignored, also when it is an error.
 * @param deadline in milliseconds
 * @param late makes the error if the deadline passes first
 */
export async function withDeadline<Value>(request: Promise<Value>, deadline: number, late: () => Error): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), deadline);
  });
  try {
    return await Promise.race([request, passed]);
  } finally {
    clearTimeout(timer);
  }
}
