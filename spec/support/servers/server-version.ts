import { execFileSync } from 'node:child_process';
import { findCommand } from './find-command.js';

export type Version = readonly [major: number, minor: number];

const versions = new Map<string, Version>();

/** Reads the version of a server on the PATH. Runs `<command> --version` once. */
function serverVersion(command: string): Version {
  let version = versions.get(command);
  if (version === undefined) {
    const output = execFileSync(findCommand(command) ?? command, ['--version'], { encoding: 'utf8' });
    const [, major, minor] = /(\d+)\.(\d+)/.exec(output) ?? [];
    if (major === undefined) throw new Error(`\`${command} --version\` shows no version: ${output}`);
    version = [Number(major), Number(minor)];
    versions.set(command, version);
  }
  return version;
}

/**
 * Returns whether a server on the PATH has at least a version. Valkey, a fork of Redis 7.2, has its
 * own version numbers.
 */
export function isAtLeast(command: string, [major, minor]: Version): boolean {
  // Suites are also described, as skipped, if their server is missing.
  if (findCommand(command) === undefined) return true;
  const [foundMajor, foundMinor] = serverVersion(command);
  return foundMajor > major || (foundMajor === major && foundMinor >= minor);
}
