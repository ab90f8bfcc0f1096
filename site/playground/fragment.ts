import { examples } from '../examples/index.js';
import { decode, decodeExample, encode, encodeExample, isProgram } from './share.js';

/** What the fragment of an address holds. */
export interface Shared {
  readonly code: string;
  /** Undefined if the fragment could be read. */
  readonly problem?: string;
}

const [first] = examples;

/** Returns the program of a fragment, or the first example if it holds none. */
export async function programOf(fragment: string): Promise<Shared> {
  const start = first?.code ?? '';
  if (!isProgram(fragment)) return { code: start };
  const name = decodeExample(fragment);
  const code = name === undefined ? await decode(fragment) : examples.find((example) => example.name === name)?.code;
  if (code !== undefined) return { code };
  const what = name === undefined ? 'This link is damaged' : `There is no example ${JSON.stringify(name)}`;
  return { code: start, problem: `${what}. The first example is shown instead.` };
}

/** Returns the fragment of a program: the name of an example that has not been changed, or its code. */
export function fragmentOf(code: string): Promise<string> {
  const example = examples.find((one) => one.listed && one.code === code);
  return example === undefined ? encode(code) : Promise.resolve(encodeExample(example.name));
}
