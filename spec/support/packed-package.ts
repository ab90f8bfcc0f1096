import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const exec = promisify(execFile);

const repository = path.resolve(__dirname, '../..');
const installed = (name: string) => path.join(repository, 'node_modules', name);

/** The folders of a checkout that are not sources. */
const NOT_SOURCES = new Set(['node_modules', 'dist', '.git', '.cache', 'coverage']);

/**
 * Copies the sources into a separate folder: a build empties `dist`, which another suite may be
 * packing.
 */
async function copySources(): Promise<string> {
  const copy = await mkdtemp(path.join(tmpdir(), 'sluice-sources-'));
  const names = (await readdir(repository)).filter((name) => !NOT_SOURCES.has(name));
  await Promise.all(names.map((name) => cp(path.join(repository, name), path.join(copy, name), { recursive: true })));
  await symlink(path.join(repository, 'node_modules'), path.join(copy, 'node_modules'), 'junction');
  return copy;
}

/** The package as it would be published, installed into an empty project with its peers only. */
export class PackedPackage {
  private constructor(
    private readonly project: string,
    /** The files of the tarball, by path within the package. */
    readonly files: readonly string[],
  ) {}

  /** Builds, packs and installs the package. Takes about half a minute. */
  static async create(): Promise<PackedPackage> {
    const project = await mkdtemp(path.join(tmpdir(), 'sluice-package-'));
    const home = path.join(project, 'node_modules', 'sluice');
    await mkdir(home, { recursive: true });
    const sources = await copySources();
    try {
      await exec('npm', ['pack', '--silent', '--no-ignore-scripts', '--pack-destination', project], { cwd: sources });
    } finally {
      await rm(sources, { recursive: true, force: true });
    }
    const tarball = (await readdir(project)).find((file) => file.endsWith('.tgz')) ?? 'no tarball';
    await exec('tar', ['-xzf', tarball, '-C', home, '--strip-components=1'], { cwd: project });
    await mkdir(path.join(project, 'node_modules', '@types'));
    for (const name of ['rxjs', '@types/node'])
      await symlink(installed(name), path.join(project, 'node_modules', name), 'junction');
    const entries = await readdir(home, { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => path.relative(home, path.join(entry.parentPath, entry.name)));
    return new PackedPackage(project, files);
  }

  /** Returns the text of a file of the package. */
  read(file: string): Promise<string> {
    return readFile(path.join(this.project, 'node_modules', 'sluice', file), 'utf8');
  }

  /** Runs a script in the project. Resolves to its output. */
  async run(script: string, ...args: readonly string[]): Promise<string> {
    const copy = path.join(this.project, path.basename(script));
    await cp(script, copy);
    const { stdout } = await exec(process.execPath, [copy, ...args], { cwd: this.project });
    return stdout;
  }

  /** Writes files into the project. */
  async write(files: Readonly<Record<string, string>>): Promise<void> {
    for (const [file, text] of Object.entries(files)) {
      const home = path.join(this.project, file);
      await mkdir(path.dirname(home), { recursive: true });
      await writeFile(home, text);
    }
  }

  /**
   * Links a package into a folder of the project: from this repository, or from another folder of
   * the project.
   */
  async link(
    name: string,
    { into = '.', from = installed(name) }: { readonly into?: string; readonly from?: string } = {},
  ): Promise<void> {
    const home = path.join(this.project, into, 'node_modules', name);
    await mkdir(path.dirname(home), { recursive: true });
    await symlink(path.resolve(this.project, from), home, 'junction');
  }

  /** Removes a linked package. */
  async unlink(name: string): Promise<void> {
    await rm(path.join(this.project, 'node_modules', name), { force: true });
  }

  /**
   * Runs a file of the project in one of its folders, with arguments and additional variables.
   * Resolves to its output.
   */
  async execute(
    file: string,
    {
      args = [],
      folder = '.',
      env = {},
    }: {
      readonly args?: readonly string[];
      readonly folder?: string;
      readonly env?: Readonly<Record<string, string>>;
    } = {},
  ): Promise<string> {
    const { stdout } = await exec(process.execPath, [path.join(this.project, file), ...args], {
      cwd: path.join(this.project, folder),
      env: { ...process.env, ...env },
    });
    return stdout;
  }

  /**
   * Compiles a file in the project as a package of the given type. Resolves to the compiler's
   * errors.
   */
  async compile(
    source: string,
    type: 'module' | 'commonjs',
    compilerOptions: object,
    compiler = 'typescript',
  ): Promise<string> {
    const folder = await mkdtemp(path.join(this.project, 'compile-'));
    await cp(source, path.join(folder, 'index.ts'));
    await writeFile(path.join(folder, 'package.json'), JSON.stringify({ type }));
    await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['index.ts'] }));
    try {
      await exec(process.execPath, [
        installed(`${compiler}/bin/tsc`),
        '--noEmit',
        '--pretty',
        'false',
        '--project',
        folder,
      ]);
      return '';
    } catch (error) {
      return (error as { stdout?: string }).stdout || String(error);
    }
  }

  remove(): Promise<void> {
    return rm(this.project, { recursive: true, force: true });
  }
}
