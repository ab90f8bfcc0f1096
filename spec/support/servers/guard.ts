import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Ends a child process and its own children when this process ends for any reason. A killed test runner runs no hooks,
 * and inside jest `process.on('exit')` is never emitted. So a shell waits for the end of its input,
 * which closes when this process, the last holder of the other end, dies.
 * @param folder is removed with the process
 */
export function guard(child: ChildProcess, folder = ''): void {
  if (child.pid === undefined) return;
  const script = `
    cat >/dev/null
    children=$(ps -A -o ppid=,pid= | while read -r parent id; do [ "$parent" != "$1" ] || echo "$id"; done)
    kill -KILL "$1" $children
    [ -z "$2" ] || { sleep 1; rm -rf "$2"; }`;
  const shell = spawn('/bin/sh', ['-c', script, 'guard', String(child.pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // When the child has ended, end the guard: its process id may be assigned to another process.
  void once(child, 'exit').then(() => shell.kill('SIGKILL'));
  shell.on('error', () => undefined);
  shell.stdin.on('error', () => undefined);
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
}
