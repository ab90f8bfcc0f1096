import { spawnSync } from 'node:child_process';
import { findCommand } from './find-command.js';

let tls: boolean | undefined;

/**
 * Returns whether `redis-server` on the PATH was built with TLS. Starts it without a certificate:
 * it exits immediately and prints the reason.
 */
export function hasTls(): boolean {
  if (tls === undefined) {
    const { stdout, stderr } = spawnSync(findCommand('redis-server') ?? 'redis-server', [
      '--port',
      '0',
      '--tls-port',
      '1',
    ]);
    const output = `${stdout}${stderr}`;
    tls = /No tls-\S+ configured/.test(output);
    // Older servers do not know the option then, newer ones do not support such connections.
    if (!tls && !/Bad directive|Failed finding TLS support/.test(output))
      throw new Error(`Expected redis-server to exit because it has no certificate: ${output}`);
  }
  return tls;
}
