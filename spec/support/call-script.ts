import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from './root.js';

/**
 * Calls a function of a module in `scripts` in a process of its own, since jest does not load ES
 * modules.
 * @param expression calls the function. `script` is the module and `input` a copy of the argument
 *   `input`.
 */
export function callScript(module: string, expression: string, input: unknown): unknown {
  const url = pathToFileURL(path.join(ROOT, 'scripts', module)).href;
  const program = `
    const script = await import(${JSON.stringify(url)});
    const input = JSON.parse(process.argv[1]);
    console.log(JSON.stringify(${expression}));`;
  const args = ['--input-type=module', '--eval', program, JSON.stringify(input)];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
}
