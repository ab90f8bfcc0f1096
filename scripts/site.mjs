/**
 * Builds the site (`npm run site`) or serves it while it is edited (`npm run site:dev`). Installs
 * the packages of the site first, which are in `site/package.json` so that the package itself
 * stays light. SITE_BASE is the path that the site is served from, such as `/sluice/`. Default: `/`.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const site = path.join(root, 'site');

/** Runs a command, and ends this process if it fails. */
function run(folder, command, ...args) {
  const { status, error } = spawnSync(command, args, { cwd: folder, stdio: 'inherit' });
  if (error !== undefined) console.error(`${command} failed: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

const inSite = (script, ...args) => run(site, process.execPath, script, ...args);

/** The manifest that was installed last. There is no lockfile, so npm would ask for each version. */
const stamp = path.join(site, 'node_modules', '.installed.json');
const manifest = readFileSync(path.join(site, 'package.json'), 'utf8');
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== manifest) {
  // No package of the site needs its install script.
  run(site, 'npm', 'install', '--no-audit', '--no-fund', '--no-package-lock', '--ignore-scripts');
  writeFileSync(stamp, manifest);
}

/** Whether the build of the library is newer than its sources. The command line is built last. */
function isBuilt() {
  const last = path.join(root, 'dist', 'cli', 'sluice.js');
  if (!existsSync(last)) return false;
  const sources = readdirSync(path.join(root, 'src'), { recursive: true }).map((name) => path.join('src', name));
  const newest = [...sources, 'package.json', 'rollup.config.mjs'].map(
    (name) => statSync(path.join(root, name)).mtimeMs,
  );
  return statSync(last).mtimeMs > Math.max(...newest);
}

const isDev = process.argv.includes('--dev');

// The playground runs the build of the library.
if (!isBuilt()) run(root, 'npm', 'run', 'build');
inSite('build/modules.mjs');
inSite('build/api.mjs');

const vitepress = 'node_modules/vitepress/bin/vitepress.js';
if (isDev) {
  inSite(vitepress, 'dev');
} else {
  inSite('node_modules/vue-tsc/bin/vue-tsc.js', '--noEmit');
  inSite(vitepress, 'build');
  inSite('build/check-links.mjs');
}
