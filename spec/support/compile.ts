import path from 'node:path';
import ts from 'typescript';
import { ROOT } from './root.js';

/** Compiles files as a part of the project. Returns one line for each compiler error. */
export function compile(files: readonly string[], options: ts.CompilerOptions = {}): string[] {
  const { config } = ts.readConfigFile(path.join(ROOT, 'tsconfig.json'), ts.sys.readFile);
  const project = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  const ambient = project.fileNames.filter((file) => file.endsWith('.d.ts'));
  const program = ts.createProgram([...files, ...ambient], { ...project.options, noEmit: true, ...options });
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    return `${path.basename(file?.fileName ?? '')}:${line} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
}
