import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const ROOT = path.join(import.meta.dirname, '../..');
/** Below `node_modules`, so that the builds find the packages that they import. */
const CACHE = path.join(ROOT, 'node_modules/.cache/sluice-bench');

/**
 * Finds the commit to compare with: `against`, or the newest tag `v*`.
 * @throws if there is none
 */
export function commitToCompare(against) {
  const name = against ?? git('tag', '--list', 'v*', '--sort=-creatordate').split('\n')[0];
  if (name === '') throw new Error('There is no tag v* to compare with. Pass --against <commit>');
  const commit = git('rev-parse', '--verify', '--end-of-options', `${name}^{commit}`);
  return { name: commit.startsWith(name) ? commit.slice(0, 7) : `${name} (${commit.slice(0, 7)})`, commit };
}

/**
 * Builds a commit with the packages of this checkout, unless that has been done before. Returns the
 * folder of the build.
 */
export function buildOf(commit) {
  const cached = path.join(CACHE, commit);
  const dist = path.join(cached, 'dist');
  // Copied last, so the build is complete.
  const manifest = path.join(cached, 'package.json');
  if (existsSync(manifest)) return dist;
  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-build-'));
  const worktree = path.join(folder, 'sluice');
  const packages = path.join(worktree, 'node_modules');
  // An interrupt ends the build, and then this function.
  const interrupted = () => {};
  process.on('SIGINT', interrupted);
  try {
    git('worktree', 'add', '--detach', worktree, commit);
    symlinkSync(path.join(ROOT, 'node_modules'), packages, 'junction');
    call('npm', ['run', 'build'], worktree);
    cpSync(path.join(worktree, 'dist'), dist, { recursive: true });
    cpSync(path.join(worktree, 'package.json'), manifest);
    return dist;
  } finally {
    process.off('SIGINT', interrupted);
    // Removes only the link.
    rmSync(packages, { force: true });
    rmSync(folder, { recursive: true });
    git('worktree', 'prune');
  }
}

const git = (...args) => call('git', args, ROOT);

/** Runs a command to its end. Returns what it prints. */
function call(command, args, cwd) {
  const shell = process.platform === 'win32' && command === 'npm';
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, shell, encoding: 'utf8' });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`"${command} ${args.join(' ')}" failed:\n${stdout}${stderr}`);
  return stdout.trim();
}
