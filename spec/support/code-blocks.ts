import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { ROOT } from './root.js';

const folder = path.join(ROOT, '.cache', 'documentation');

/** A block of TypeScript, optionally followed by a block of text with the program's output. */
const BLOCK = /^```ts( no-run)?\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?/gms;

/** A TypeScript block of a page, extracted into a program. */
export interface CodeBlock {
  readonly page: string;
  readonly line: number;
  readonly file: string;
  /** Whether the program runs and ends by itself. A block marked `no-run` is only compiled. */
  readonly runs: boolean;
  /** The output that the page shows. */
  readonly output: string | undefined;
}

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Writes each block of some pages to a file of its own. */
export function extractCodeBlocks(pages: readonly string[]): CodeBlock[] {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return pages.flatMap((page) => {
    const text = readFileSync(path.join(ROOT, page), 'utf8');
    return [...text.matchAll(BLOCK)].map(({ index, 1: noRun, 2: code = '', 3: output }) => {
      const line = text.slice(0, index).split('\n').length;
      const file = path.join(folder, `${path.basename(page, '.md')}-${line}.mts`);
      writeFileSync(file, code);
      return { page, line, file, runs: noRun === undefined, output };
    });
  });
}

/**
 * Bundles the blocks that run, with `sluice` resolved to the sources.
 * Bundles them together, since starting a compiler for each takes longer than running it.
 */
export async function bundleCodeBlocks(blocks: readonly CodeBlock[]): Promise<void> {
  await build({
    entryPoints: blocks.map(({ file }) => file),
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    external: ['rxjs', 'pg', '@electric-sql/pglite', '@opentelemetry/*', 'pino'],
    format: 'esm',
    platform: 'node',
    target: 'node20',
    loader: { '.lua': 'text', '.sql': 'text' },
    sourcemap: 'inline',
    tsconfig: path.join(ROOT, 'tsconfig.json'),
    logLevel: 'silent',
  });
}

/** Runs a bundled block until it ends. What it writes to relative paths is deleted before the next run. */
export function runCodeBlock({ file }: CodeBlock): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--enable-source-maps', file.replace(/\.mts$/, '.mjs')],
      { cwd: folder },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    );
  });
}
