/** Fetches servers of other versions than the machine's own, each into a folder with a `bin` that is put first on the PATH. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fromDebian, rabbitMqVersion } from './debian.mjs';
import { fromGo, fromPip } from './packages.mjs';
import { run } from './run.mjs';

/** Where each version comes from, by name. `inCi`: CI tests it, as the newest or the oldest one of its engine. */
export const versions = JSON.parse(readFileSync(new URL('versions.json', import.meta.url), 'utf8'));

/** The versions of these names; all of them for none. Ends the process for an unknown name. */
export function checked(names) {
  const known = Object.keys(versions);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    console.error(`There is no version "${unknown}": expected one of ${known.join(', ')}`);
    process.exit(1);
  }
  return names.length > 0 ? names : known;
}

/** Only the spec of these scripts names another folder. */
const root = process.env.SLUICE_SERVERS ?? path.join(import.meta.dirname, '../../.cache/servers');

const sources = { pip: fromPip, go: fromGo, debian: fromDebian };

/** The folder of the commands of a version. */
const binOf = (name) => path.join(root, name, 'bin');

/** The PATH with which the commands of a version are found before the machine's own. */
export const pathWith = (name) => [binOf(name), process.env.PATH ?? ''].join(path.delimiter);

/**
 * Fetches a version, unless it is there.
 * @returns `version`, as the server prints it; or `reason`, if the version cannot be had
 */
export async function fetchServer(name) {
  const there = await versionOf(name);
  if (there !== undefined) return { version: there };
  const folder = path.join(root, name);
  try {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(binOf(name), { recursive: true });
    await sources[versions[name].source](versions[name], folder);
    const version = await versionOf(name);
    if (version === undefined) throw new Error(`${versions[name].command} does not run here`);
    return { version };
  } catch (error) {
    // The next call tries it again.
    rmSync(folder, { recursive: true, force: true });
    return { reason: error.message };
  }
}

/** What a server says of its version; undefined where it is not there, or does not run. */
async function versionOf(name) {
  const { command } = versions[name];
  const folder = path.join(root, name);
  if (!existsSync(path.join(binOf(name), command))) return undefined;
  try {
    const printed = command === 'rabbitmq-server' ? await rabbitMqVersion(folder) : await run(path.join(binOf(name), command), ['--version']);
    return /\d+\.\d+\.\d+/.exec(printed)?.[0];
  } catch {
    return undefined;
  }
}
