/**
 * Fetches servers of other versions, each into a folder whose `bin` can be put first on the PATH.
 */
import { existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { engines } from '../lib/engines.mjs';
import { erlangVersion, fromDebian } from './debian.mjs';
import { fromGo, fromPip, fromPipArchive } from './packages.mjs';
import { run } from './run.mjs';

/**
 * The source of each version, by name. CI tests the versions with `inCi`: the newest and the oldest
 * version of an engine that never change. Unreleased Debian suites change.
 */
export const versions = Object.fromEntries(
  engines.flatMap(({ name: engine, versions }) =>
    Object.entries(versions).map(([name, version]) => [name, { engine, ...version }]),
  ),
);

/** Returns these versions, or all without names. Ends the process for an unknown name. */
export function checked(names) {
  const known = Object.keys(versions);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    console.error(`Unknown version "${unknown}": expected one of ${known.join(', ')}`);
    process.exit(1);
  }
  return names.length > 0 ? names : known;
}

/** The folder of the versions. The spec uses another folder. */
const root = process.env.SLUICE_SERVERS ?? path.join(import.meta.dirname, '../../.cache/servers');

const sources = { pip: fromPip, pipArchive: fromPipArchive, go: fromGo, debian: fromDebian };

/** Returns a PATH that starts with the commands of a version. */
export const pathWith = (name) => [path.join(root, name, 'bin'), process.env.PATH ?? ''].join(path.delimiter);

/**
 * Fetches a version unless it exists.
 * @returns `version`, as the server prints it, or `reason`, if the version is not available
 */
export async function fetchServer(name) {
  const there = await versionOf(name, path.join(root, name));
  if (there !== undefined) return { version: there };
  // Scripts contain the path of the folder, so it cannot be moved. A link to it marks it as
  // complete. Another process may fetch the same version.
  const folder = path.join(root, `${name}.${process.pid}`);
  try {
    removeUnfinished(name);
    // An earlier process may have had the same id.
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(path.join(folder, 'bin'), { recursive: true });
    await sources[versions[name].source](versions[name], folder);
    const version = await versionOf(name, folder);
    if (version === undefined) throw new Error(`${versions[name].command} does not run here`);
    symlinkSync(path.basename(folder), `${folder}.link`);
    rmSync(path.join(root, name), { recursive: true, force: true });
    renameSync(`${folder}.link`, path.join(root, name));
    return { version };
  } catch (error) {
    // The next call fetches the version again.
    rmSync(folder, { recursive: true, force: true });
    return { reason: error.message };
  }
}

/** Removes the folders of processes that ended before they had fetched the version. */
function removeUnfinished(name) {
  if (!existsSync(root)) return;
  const linked = lstatSync(path.join(root, name), { throwIfNoEntry: false })?.isSymbolicLink()
    ? readlinkSync(path.join(root, name))
    : undefined;
  for (const entry of readdirSync(root)) {
    const id = entry.startsWith(`${name}.`) ? entry.slice(name.length + 1) : '';
    if (/^\d+$/.test(id) && entry !== linked && !isAlive(Number(id)))
      rmSync(path.join(root, entry), { recursive: true, force: true });
  }
}

function isAlive(id) {
  try {
    return process.kill(id, 0);
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/**
 * Returns the version that a server in a folder reports, or `undefined` if it is missing or does
 * not run.
 */
async function versionOf(name, folder) {
  const { command, erlangLibrary } = versions[name];
  const file = path.join(folder, 'bin', command);
  if (!existsSync(file)) return undefined;
  try {
    const printed =
      erlangLibrary === undefined ? await run(file, ['--version']) : await erlangVersion(folder, erlangLibrary);
    return /\d+(\.\d+)+/.exec(printed)?.[0];
  } catch {
    return undefined;
  }
}
