import type { ConsumerGroup } from '../backend.js';
import { ConfigurationError } from '../errors.js';

/**
 * Checks that a group is declared.
 *
 * *When to use*: to write a backend, in `publish` and `stats` if a group is given.
 * @throws {ConfigurationError} if `group` is not declared. The message names the declared groups
 * and both ways to declare one.
 */
export function checkDeclared(group: ConsumerGroup, declared: readonly ConsumerGroup[], queue: string): void {
  if (declared.includes(group)) return;
  const known = declared.map((name) => JSON.stringify(name)).join(', ');
  throw new ConfigurationError(
    `Group ${JSON.stringify(group)} of queue ${JSON.stringify(queue)} is not declared; declared: ${known}. ` +
      'Add it to the `groups` option or to QUEUE_GROUPS, in every process that uses this queue.',
  );
}
