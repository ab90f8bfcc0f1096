import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { verdictOn } from './describe-with.js';

describe('A suite that needs redis-server', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-path-'));
  });

  afterAll(() => rm(folder, { recursive: true }));

  it('is skipped with installation instructions if redis-server is missing', () => {
    expect(verdictOn('redis-server', { PATH: folder })).toEqual({
      run: false,
      fail: false,
      reason: expect.stringMatching(/install .*redis/),
    });
  });

  it('fails if redis-server is missing and `CI` is `true`', () => {
    expect(verdictOn('redis-server', { PATH: folder, CI: 'true' })).toMatchObject({ run: false, fail: true });
  });

  it('runs if an executable redis-server is on the PATH', async () => {
    const file = path.join(folder, 'redis-server');
    await writeFile(file, '');
    expect(verdictOn('redis-server', { PATH: `/nowhere:${folder}` })).toMatchObject({ run: false });
    await chmod(file, 0o755);
    expect(verdictOn('redis-server', { PATH: `/nowhere:${folder}` })).toEqual({ run: true });
  });

  it('runs if redis-server is in the `sbin` folder beside a `bin` on the PATH', async () => {
    await Promise.all(['bin', 'sbin'].map((name) => mkdir(path.join(folder, name))));
    await writeFile(path.join(folder, 'sbin/redis-server'), '', { mode: 0o755 });
    expect(verdictOn('redis-server', { PATH: path.join(folder, 'bin') })).toEqual({ run: true });
  });
});
