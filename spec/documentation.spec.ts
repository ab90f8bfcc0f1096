import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { compile, ROOT } from './support/compile.js';
import { Program } from './support/run-example.js';

interface Block {
  readonly line: number;
  readonly file: string;
  readonly runs: boolean;
}

const folder = path.join(ROOT, '.cache', 'readme');

/** Writes each block of TypeScript into a file of its own. */
function extractBlocks(): Block[] {
  const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return [...readme.matchAll(/^```ts( no-run)?\n(.*?)^```$/gms)].map((match) => {
    const line = readme.slice(0, match.index).split('\n').length;
    const file = path.join(folder, `line-${line}.mts`);
    writeFileSync(file, match[2] ?? '');
    return { line, file, runs: match[1] === undefined };
  });
}

describe('the README', () => {
  const blocks = extractBlocks();

  it('has code that compiles', () => {
    expect(blocks.length).toBeGreaterThan(8);
    expect(
      compile(
        blocks.map(({ file }) => file),
        { noUnusedLocals: false },
      ),
    ).toEqual([]);
  });

  it.each(blocks.filter(({ runs }) => runs))('has code that runs and ends by itself (line $line)', async ({ file }) => {
    const program = new Program(file);
    expect([await program.exited(), program.output]).toEqual([0, expect.not.stringContaining('Error')]);
  });

  it('prints what the first program says it prints', async () => {
    const first = blocks[0] as Block;
    const program = new Program(first.file);
    await program.exited();
    expect(program.output).toBe("{ text: 'hello' }\n{ text: 'world' }\n");
  });
});
