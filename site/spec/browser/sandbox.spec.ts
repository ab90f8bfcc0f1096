import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describeWithSite } from '../support/describe-with-site.js';
import { run, write } from '../support/open-playground.js';

/** Programs that fail, each with its message and the line of the mistake. */
const broken = {
  'a syntax error': ['const one = 1;\n\nconst two = ;\n', /Unexpected token/, 3],
  'a thrown error': [
    "interface Wide {\n  a: 1;\n}\n\nconst fail = (): never => {\n  throw new RangeError('too large');\n};\nfail();",
    /RangeError: too large/,
    6,
  ],
  'a rejected await': ["console.log('before');\nawait Promise.reject(new Error('refused'));", /Error: refused/, 2],
  'a rejection that nothing handles': [
    "void (async () => {\n  throw new TypeError('nobody waits');\n})();\nawait new Promise((resolve) => setTimeout(resolve, 10));",
    /TypeError: nobody waits/,
    2,
  ],
  'an error in a timer': ["setTimeout(() => {\n  throw new Error('late');\n}, 100);", /Error: late/, 2],
  'an import of an unknown module': [
    "import { MemoryBackend } from 'sluice';\nimport fs from 'fs-extra';",
    /fs-extra/,
    2,
  ],
  'an import of an unknown name': [
    "import {\n  MemoryBackend,\n  Nothing,\n} from 'sluice';\nnew MemoryBackend();\nnew Nothing();",
    /Nothing/,
    undefined,
  ],
} as const;

describeWithSite('A program in the playground', (site) => {
  it.each(Object.entries(broken))('shows %s, with its line', async (_name, [code, message, line]) => {
    const { page, ui } = await run(site, code);
    await ui.reach('failed');
    const error = page.getByTestId('error');
    await error.filter({ hasText: message }).waitFor();
    if (line !== undefined) expect(await error.textContent()).toMatch(new RegExp(`line ${line}\\b`, 'i'));
    // The next program is not affected.
    await write(page, "console.log('works again');");
    await ui.control('run').click();
    await ui.reach('finished');
    expect((await ui.lines()).join('\n')).toContain('works again');
    expect(await page.getByTestId('error').isVisible()).toBe(false);
  });

  it('may loop forever, while the page answers', async () => {
    const { page, ui } = await run(site, "console.log('begins');\nfor (;;) {}");
    await ui.reach('stuck');
    expect((await ui.lines()).join('\n')).toContain('begins');
    // The page still draws and handles input.
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
    await ui.control('example').focus();
    await ui.control('stop').click();
    await ui.reach('stopped');
    await write(page, "console.log('works again');");
    await ui.control('run').click();
    await ui.reach('finished');
    expect((await ui.lines()).join('\n')).toContain('works again');
  });

  it('may be restarted while it loops', async () => {
    const { page, ui } = await run(site, 'for (;;) {}');
    await ui.reach('stuck');
    await write(page, "console.log('works again');");
    await ui.control('run').click();
    await ui.reach('finished');
    expect((await ui.lines()).join('\n')).toContain('works again');
  });

  it('may wait in a loop of timers and microtasks without end', async () => {
    const { ui } = await run(site, 'const spin = (): unknown => Promise.resolve().then(spin);\nspin();');
    await ui.reach('stuck');
    await ui.control('stop').click();
    await ui.reach('stopped');
  });

  it('floods the console without an effect on the page', async () => {
    const { page, ui } = await run(
      site,
      "for (let line = 1; line <= 100_000; line++) console.log('line', line);\nconsole.log('last');",
    );
    await ui.reach('finished');
    expect(await ui.output.evaluate((output) => output.querySelectorAll('*').length)).toBeLessThan(10_000);
    expect(await page.evaluate(() => document.querySelectorAll('*').length)).toBeLessThan(20_000);
    expect((await ui.lines()).join('\n')).toMatch(/(left out|omitted|more lines)/);
  });

  it('shows the values, warnings and errors of the console', async () => {
    const { ui } = await run(
      site,
      "console.log({ nested: [1, 'two', new Map([['a', 1]])] });\nconsole.warn('careful');\nconsole.error(new Error('logged only'));\nconsole.log('<b>not markup</b>');",
    );
    await ui.reach('finished');
    const output = (await ui.lines()).join('\n');
    for (const text of ["nested: [ 1, 'two'", 'careful', 'logged only', '<b>not markup</b>'])
      expect(output).toContain(text);
  });

  describe('has no network', () => {
    let server: Server;
    let asked: string[];

    beforeAll(async () => {
      server = createServer(({ url = '' }, response) => {
        asked.push(url);
        response.writeHead(200, { 'access-control-allow-origin': '*', 'content-type': 'text/javascript' }).end('0');
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    });

    beforeEach(() => {
      asked = [];
    });

    afterAll(() => new Promise((resolve) => server.close(resolve)));

    it.each([
      ['fetch', 'await fetch(URL)'],
      [
        'a request',
        'await new Promise((resolve, reject) => { const request = new XMLHttpRequest(); request.onload = resolve; request.onerror = () => reject(new TypeError("failed")); request.open("GET", URL); request.send(); })',
      ],
      ['an import', 'await import(URL)'],
      [
        'a web socket',
        'await new Promise((resolve, reject) => { const socket = new WebSocket(URL.replace("http", "ws")); socket.onopen = resolve; socket.onerror = reject; })',
      ],
      [
        'events',
        'await new Promise((resolve, reject) => { const source = new EventSource(URL); source.onopen = resolve; source.onerror = reject; })',
      ],
    ])('for %s', async (name, expression) => {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name.replace(' ', '-')}`;
      const code = `const URL: string = '${url}';\ntry {\n  ${expression};\n  console.log('it was sent');\n} catch {\n  console.log('it was refused');\n}`;
      const { ui, faults } = await run(site, code);
      // The browser reports what it refuses, and some of it as a request, which the server never gets.
      faults.expect(/Content Security Policy|\(csp\)/i);
      faults.expect(new RegExp(`requested from outside of the site: ${url}$`));
      await ui.output.getByText('it was refused').waitFor();
      expect(asked).toEqual([]);
    });

    it('nor any way to the page', async () => {
      const { page, ui } = await run(
        site,
        "const reach = (read: () => unknown) => { try { return typeof read(); } catch (error) { return (error as Error).name; } };\nconst scope = globalThis as Record<string, any>;\nconsole.log('document', reach(() => scope.document.body), 'storage', reach(() => scope.localStorage.length), 'cookies', reach(() => scope.document.cookie));\nconsole.log('origin', scope.origin);",
      );
      await ui.reach('finished');
      const output = (await ui.lines()).join('\n');
      expect(output).toContain('document TypeError storage TypeError cookies TypeError');
      expect(output).toContain('origin null');
      const sandboxes = await page
        .locator('iframe')
        .evaluateAll((frames) => frames.map((frame) => frame.getAttribute('sandbox')));
      expect(sandboxes).toEqual(['allow-scripts']);
    });
  });
});
