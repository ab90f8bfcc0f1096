import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('../child.mjs', import.meta.url));

/** One run in a process of its own: its result, or `{ failed }` with the reason. It never hangs. */
export function runChild(scenario, contender, messages, timeoutSeconds) {
  const args = ['--expose-gc', CHILD, scenario, contender, String(messages)];
  const { status, stdout, stderr, error } = spawnSync(process.execPath, args, {
    timeout: timeoutSeconds * 1000,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
  });
  if (error?.code === 'ETIMEDOUT') return { failed: `not done after ${timeoutSeconds} s` };
  if (status === 0) return JSON.parse(stdout.trim().split('\n').at(-1));
  return { failed: /^\w*Error.*$/m.exec(stderr)?.[0] ?? `ended with exit code ${status}` };
}
