import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { StaticServer } from './support/static-server.js';

describe('StaticServer', () => {
  let folder: string;
  let server: StaticServer;

  const get = async (url: string) => {
    const response = await fetch(url);
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
  };

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-site-'));
    await mkdir(path.join(folder, 'public/guides'), { recursive: true });
    for (const file of ['index.html', '404.html', 'guides/index.html', 'app.js'])
      await writeFile(path.join(folder, 'public', file), `This is ${file}`);
    await writeFile(path.join(folder, 'secret.html'), 'secret');
    server = await StaticServer.start(path.join(folder, 'public'), '/base/');
  });

  afterEach(async () => {
    await server.stop();
    await rm(folder, { recursive: true });
  });

  it('serves files with their types, below the base', async () => {
    expect(await get(server.url())).toEqual({
      status: 200,
      type: 'text/html; charset=utf-8',
      text: 'This is index.html',
    });
    expect(await get(server.url('guides/?query'))).toMatchObject({ status: 200, text: 'This is guides/index.html' });
    expect(await get(server.url('app.js'))).toMatchObject({ type: 'text/javascript; charset=utf-8' });
  });

  it.each(['guides', 'missing.html', '..%2fsecret.html', '..%2f..%2fsecret.html'])(
    'answers %s with the page for what does not exist',
    async (below) => {
      expect(await get(server.url(below))).toMatchObject({ status: 404, text: 'This is 404.html' });
    },
  );

  it('serves nothing outside of the base', async () => {
    expect(await get(`${server.origin}/app.js`)).toMatchObject({ status: 404, text: 'This is 404.html' });
  });
});
