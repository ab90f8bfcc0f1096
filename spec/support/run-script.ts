import { spawn } from 'node:child_process';
import { pathToFileURL } from 'node:url';

const source = pathToFileURL(`${process.cwd()}/src/index.ts`).href;

/** The result of a script: its exit code, or `hung` if it had to be killed. */
export interface ScriptResult {
  readonly exit: number | 'hung' | null;
  readonly output: string;
}

/**
 * Runs a script in a process of its own. The script imports the library as `sluice`.
 * @param before code that runs before the library is loaded
 */
export async function runScript(script: string, before = ''): Promise<ScriptResult> {
  const code = `${before}\nconst sluice = await import(${JSON.stringify(source)});\n${script}`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', code], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  // Far longer than a script runs, and far shorter than the delays in scripts.
  const killer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exit, signal) => {
      clearTimeout(killer);
      resolve({ exit: signal === null ? exit : 'hung', output: output.trim() });
    });
  });
}
