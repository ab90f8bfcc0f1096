import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { findChromium, verdictOnChromium } from './support/find-chromium.js';

describe('findChromium', () => {
  let folder: string;
  const command = (name: string) => writeFile(path.join(folder, name), '', { mode: 0o755 });

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-chromium-'));
  });

  afterEach(() => rm(folder, { recursive: true }));

  it('finds the browser by any of its names', async () => {
    await command('google-chrome');
    expect(findChromium({ PATH: `/nowhere:${folder}` })).toBe(path.join(folder, 'google-chrome'));
    await command('chromium');
    expect(findChromium({ PATH: folder })).toBe(path.join(folder, 'chromium'));
  });

  it('prefers the browser that the environment names', async () => {
    await command('chromium');
    await command('another');
    expect(findChromium({ PATH: folder, CHROMIUM: path.join(folder, 'another') })).toBe(path.join(folder, 'another'));
  });

  it('skips the suites without it, and fails them in CI', () => {
    const verdict = verdictOnChromium({ PATH: folder });
    expect(verdict).toMatchObject({
      run: false,
      fail: false,
      reason: expect.stringMatching(/apt-get install .*chromium/),
    });
    expect(verdictOnChromium({ PATH: folder, CI: 'true' })).toMatchObject({ run: false, fail: true });
  });

  it('says that the named browser does not exist', async () => {
    await command('chromium');
    const verdict = verdictOnChromium({ PATH: folder, CHROMIUM: '/nowhere/browser' });
    expect(verdict).toMatchObject({ run: false, reason: expect.stringMatching(/\/nowhere\/browser, expected/) });
  });
});
