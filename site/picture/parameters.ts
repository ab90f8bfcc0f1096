/** A constant of a program that the reader can change. */
export type Parameter = NumberParameter | ChoiceParameter | FlagParameter;

interface Named {
  readonly name: string;
  /** The line of the program, from 0 up. */
  readonly line: number;
}

export interface NumberParameter extends Named {
  readonly kind: 'number';
  readonly value: number;
  readonly least: number;
  readonly most: number;
  /** What the number counts, such as `percent`; empty if nothing says it. */
  readonly unit: string;
}

interface ChoiceParameter extends Named {
  readonly kind: 'choice';
  readonly value: string;
  readonly choices: readonly string[];
}

interface FlagParameter extends Named {
  readonly kind: 'flag';
  readonly value: boolean;
}

/** `const name: Type = value; // comment`, at the start of a line: a constant of the module. */
const DECLARATION = /^const ([A-Za-z_$][\w$]*)(?:: [^=]+)? = ([^;]+);(?:\s*\/\/\s*(.*?)\s*)?$/;
const NUMBER = /^-?\d[\d_]*(?:\.\d+)?$/;
const RANGE = /^(-?\d[\d_]*(?:\.\d+)?) to (-?\d[\d_]*(?:\.\d+)?)(?:, (.+))?$/;
const TEXT = /^'([^'\\]*)'$/;

/**
 * Finds the parameters of a program: constants of its module whose comment has a range
 * (`const prefetch = 4; // 1 to 8`) or choices (`// 'key' or 'none'`), and booleans with a comment
 * `true or false`.
 */
export function parametersOf(code: string): Parameter[] {
  return code.split('\n').flatMap((text, line) => {
    const [, name, literal, comment] = DECLARATION.exec(text) ?? [];
    if (name === undefined || literal === undefined || comment === undefined) return [];
    const parameter = parse(literal, comment);
    return parameter === undefined ? [] : [{ name, line, ...parameter }];
  });
}

/**
 * Returns the program with another value of a parameter. All else stays.
 * @throws {RangeError} if the program has no such parameter, or if it cannot have the value
 */
export function withParameter(code: string, name: string, value: Parameter['value']): string {
  const parameter = parametersOf(code).find((one) => one.name === name);
  if (parameter === undefined) throw new RangeError(`Expected a parameter of the program, got ${JSON.stringify(name)}`);
  const literal = literalOf(parameter, value);
  const lines = code.split('\n');
  const line = lines[parameter.line] as string;
  lines[parameter.line] = line.replace(/ = [^;]+;/, () => ` = ${literal};`);
  return lines.join('\n');
}

/** Returns the label of a parameter: its name in words, such as `max size` for `maxSize`. */
export function labelOf({ name }: Parameter): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

type WithoutPlace<Kind> = Kind extends Parameter ? Omit<Kind, 'name' | 'line'> : never;

function parse(literal: string, comment: string): WithoutPlace<Parameter> | undefined {
  if (literal === 'true' || literal === 'false')
    return comment === 'true or false' ? { kind: 'flag', value: literal === 'true' } : undefined;
  const text = TEXT.exec(literal)?.[1];
  if (text !== undefined) {
    const choices = comment.split(/, | or /).map((choice) => TEXT.exec(choice)?.[1]);
    if (choices.length < 2 || !choices.includes(text)) return undefined;
    return choices.every((choice) => choice !== undefined) ? { kind: 'choice', value: text, choices } : undefined;
  }
  const [, least, most, unit = ''] = RANGE.exec(comment) ?? [];
  if (!NUMBER.test(literal) || least === undefined || most === undefined) return undefined;
  return { kind: 'number', value: numberOf(literal), least: numberOf(least), most: numberOf(most), unit };
}

function literalOf(parameter: Parameter, value: Parameter['value']): string {
  const { name } = parameter;
  if (parameter.kind === 'flag' && typeof value === 'boolean') return String(value);
  if (parameter.kind === 'choice' && parameter.choices.includes(value as string)) return `'${value}'`;
  if (parameter.kind === 'number' && typeof value === 'number' && value >= parameter.least && value <= parameter.most)
    return String(value);
  const expected = {
    flag: 'true or false',
    choice: parameter.kind === 'choice' ? `one of ${parameter.choices.join(', ')}` : '',
    number: parameter.kind === 'number' ? `a number from ${parameter.least} to ${parameter.most}` : '',
  }[parameter.kind];
  throw new RangeError(`Expected \`${name}\` to be ${expected}, got ${JSON.stringify(value)}`);
}

function numberOf(text: string): number {
  return Number(text.replaceAll('_', ''));
}
