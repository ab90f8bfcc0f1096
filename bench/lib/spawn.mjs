import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('../child.mjs', import.meta.url));

/**
 * Runs one contender in a child process that ends with this process. Resolves to its result, or to
 * `{ failed }` with the reason. It never hangs.
 */
export function runChild(scenario, contender, messages, timeoutSeconds, { url = '', monitorUrl = '' } = {}) {
  const args = ['--expose-gc', CHILD, scenario, contender, String(messages), url, monitorUrl];
  return new Promise((resolve) => {
    const options = { timeout: timeoutSeconds * 1000, killSignal: 'SIGKILL', encoding: 'utf8' };
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
