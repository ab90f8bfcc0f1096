import ts from 'typescript';

/** What a letter of a marble string stands for. An array is a batch. */
export type MarbleValue = string | number | readonly (string | number)[];

/** A marble string of a test. */
export interface TestMarbles {
  /** Whether the test gives it to the code, or expects it. */
  readonly role: 'input' | 'output';
  readonly marbles: string;
  readonly values: Readonly<Record<string, MarbleValue>>;
}

const ROLES: Readonly<Record<string, TestMarbles['role']>> = { hot: 'input', cold: 'input', toBe: 'output' };

/**
 * Reads the marble strings of the test with a title, in their order: those that it gives to `hot`
 * and `cold`, and those that it gives to `toBe`.
 * @throws {Error} if there is no such test, or it has no marbles
 */
export function extractMarbles(file: string, source: string, title: string): TestMarbles[] {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS);
  const tests = calls(tree).filter((call) => nameOf(call) === 'it' && textOf(call.arguments[0]) === title);
  const [test] = tests;
  if (test === undefined || tests.length > 1) {
    throw new Error(`Expected one test "${title}" in ${file}, whose marbles the site shows, got ${tests.length}`);
  }
  const marbles = calls(test).flatMap((call) => marblesOf(call, `the test "${title}" in ${file}`));
  if (!marbles.some(({ role }) => role === 'input') || !marbles.some(({ role }) => role === 'output'))
    throw new Error(
      `Expected the test "${title}" in ${file} to have marbles in hot('…') or cold('…') and in toBe('…')`,
    );
  return marbles;
}

function marblesOf(call: ts.CallExpression, where: string): TestMarbles[] {
  const role = ROLES[nameOf(call)];
  const marbles = textOf(call.arguments[0]);
  if (role === undefined || marbles === undefined) return [];
  return [{ role, marbles, values: call.arguments[1] === undefined ? {} : valuesOf(call.arguments[1], where) }];
}

/** The calls within a node, by the place where their arguments begin: chained calls in the order of reading. */
function calls(node: ts.Node): ts.CallExpression[] {
  const found: ts.CallExpression[] = [];
  const visit = (child: ts.Node): void => {
    if (ts.isCallExpression(child)) found.push(child);
    ts.forEachChild(child, visit);
  };
  ts.forEachChild(node, visit);
  return found.sort((a, b) => a.arguments.pos - b.arguments.pos);
}

/** Returns the name of the called function or method. */
function nameOf({ expression }: ts.CallExpression): string {
  if (ts.isPropertyAccessExpression(expression)) return expression.name.text;
  return ts.isIdentifier(expression) ? expression.text : '';
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined;
}

function valuesOf(node: ts.Expression, where: string): Record<string, MarbleValue> {
  if (!ts.isObjectLiteralExpression(node))
    throw new Error(`Expected the values of the marbles of ${where} to be an object literal, got ${node.getText()}`);
  return Object.fromEntries(
    node.properties.map((property) => {
      if (!ts.isPropertyAssignment(property) || ts.isComputedPropertyName(property.name))
        throw new Error(`Expected \`letter: value\` in the marbles of ${where}, got ${property.getText()}`);
      const { name, initializer } = property;
      return [
        name.text,
        ts.isArrayLiteralExpression(initializer)
          ? initializer.elements.map((element) => literalOf(element, where))
          : literalOf(initializer, where),
      ];
    }),
  );
}

function literalOf(node: ts.Expression, where: string): string | number {
  if (ts.isNumericLiteral(node)) return Number(node.text);
  if (ts.isStringLiteralLike(node)) return node.text;
  throw new Error(`Expected a string or a number in the marbles of ${where}, got ${node.getText()}`);
}
