import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Ends a process when this one is gone, however it went: a test runner that is killed runs no hook, and inside jest `process.on('exit')` is
 * never called. So a shell waits for the end of its input, which comes when the last holder of the other end, this process, has died.
 *
 * @param folder removed with the process
 */
export function guard(child: ChildProcess, folder = ''): void {
  if (child.pid === undefined) return;
  const script = 'cat >/dev/null; kill -KILL "$1"; [ -z "$2" ] || { sleep 1; rm -rf "$2"; }';
  const shell = spawn('/bin/sh', ['-c', script, 'guard', String(child.pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // A number that is free again may be given to another process: the guard goes with the process that it guards.
  void once(child, 'exit').then(() => shell.kill('SIGKILL'));
  shell.on('error', () => undefined);
  shell.stdin.on('error', () => undefined);
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
}
