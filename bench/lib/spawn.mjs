import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('../child.mjs', import.meta.url));

/**
 * Runs one contender in a child process that ends with this process. Resolves to its result, or to
 * `{ failed }` with the reason. It never hangs.
 * @param messages the number of messages
 * @param options the `timeout` in seconds, the addresses of the `server`, if any, and the folder of
 *   the build of sluice. Default: `dist`
 */
export function runChild(scenario, contender, messages, { timeout: timeoutSeconds, server = {}, dist }) {
  const { url = '', monitorUrl = '' } = server;
  const args = ['--expose-gc', CHILD, scenario, contender, String(messages), url, monitorUrl];
  const env = dist === undefined ? process.env : { ...process.env, BENCH_DIST: dist };
  return new Promise((resolve) => {
    const options = { timeout: timeoutSeconds * 1000, killSignal: 'SIGKILL', encoding: 'utf8', env };
    const child = execFile(process.execPath, args, options, (error, stdout, stderr) => {
      process.off('exit', end);
      if (error === null) resolve(JSON.parse(stdout.trim().split('\n').at(-1)));
      else if (error.killed) resolve({ failed: `did not finish within ${timeoutSeconds} s` });
      else resolve({ failed: /^\w*Error.*$/m.exec(stderr)?.[0] ?? `ended with exit code ${error.code}` });
    });
    const end = () => child.kill('SIGKILL');
    process.once('exit', end);
  });
}
