/** Whether a function is one of the fake timers of Jest, Vitest or Sinon. */
export function isFakeTimer(timer: object): boolean {
  return 'clock' in timer || '_isMockFunction' in timer;
}
