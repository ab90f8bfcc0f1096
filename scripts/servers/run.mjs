import { execFile } from 'node:child_process';

/**
 * More than the slowest step takes on a slow network, in milliseconds: building a Go module, or
 * downloading some 60 Debian packages.
 */
const DEADLINE = 600_000;

/**
 * Runs a command and resolves to its output.
 * @throws {Error} (a rejection) with the last line that the command printed
 */
export function run(command, args, { env, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const settings = { ...options, env: { ...process.env, ...env }, timeout: DEADLINE, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(command, args, settings, (error, stdout, stderr) => {
      if (error === null) resolve(stdout.trim());
      else if (error.code === 'ENOENT') reject(new Error(`\`${command}\` is not on the PATH`));
      else
        reject(
          new Error(
            `\`${command} ${args[0]}\` failed: ${error.killed ? `no result within ${DEADLINE / 1000} s` : lastLine(stderr, stdout)}`,
          ),
        );
    });
    child.stdin?.end();
  });
}

const lastLine = (...outputs) =>
  outputs
    .flatMap((output) => output.trim().split('\n'))
    .findLast((line) => /\S/.test(line) && !/notice/i.test(line))
    ?.trim() ?? 'no output';
