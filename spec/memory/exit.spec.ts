import { spawn } from 'node:child_process';
import { pathToFileURL } from 'node:url';

/** What a script left behind: the code it exited with by itself, or `hung` when it had to be killed. */
async function run(script: string): Promise<{ readonly exit: number | 'hung' | null; readonly output: string }> {
  const source = `import { MemoryBackend, receive } from ${JSON.stringify(pathToFileURL(`${process.cwd()}/src/index.ts`).href)};\n${script}`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', source], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output += chunk;
    });
  }
  // Far longer than a process needs, and far shorter than any delay in the scripts.
  const killer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(killer);
      resolve({ exit: signal === null ? code : 'hung', output: output.trim() });
    });
  });
}

const HOUR = 3_600_000;

describe('A process with a queue', () => {
  // One after the other in one process: each part that kept the process alive would keep it alive here, too.
  it('exits by itself after close, whatever was going on', async () => {
    const result = await run(`
      const afterDelayedPublish = new MemoryBackend();
      await afterDelayedPublish.publish('k', {}, { delay: ${HOUR} });
      await afterDelayedPublish.close();

      const withSubscriberThatLeft = new MemoryBackend();
      const subscription = withSubscriberThatLeft.deliveries().subscribe();
      await withSubscriberThatLeft.publish('k', {}, { delay: ${HOUR} });
      await withSubscriberThatLeft.close();
      subscription.unsubscribe();

      const discarded = new MemoryBackend();
      discarded.deliveries().subscribe();
      await discarded.publish('k', {}, { delay: ${HOUR} });
      await discarded.close({ drain: false });

      const nackedForLong = new MemoryBackend();
      nackedForLong.deliveries().subscribe((delivery) => delivery.nack({ delay: ${HOUR} }));
      await nackedForLong.publish('k', {});
      await nackedForLong.close({ drain: false });

      const waitedFor = new MemoryBackend();
      void waitedFor.consume({ signal: new AbortController().signal }).next();
      receive(waitedFor).catch(() => {});
      await waitedFor.close();

      const held = new MemoryBackend();
      held.deliveries().subscribe();
      await held.publish('k', {});
      await held.close();
      console.log('end of script');
    `);
    expect(result).toEqual({ exit: 0, output: 'end of script' });
  });

  it('exits by itself with an idle queue that nobody closed', async () => {
    const result = await run(`
      const queue = new MemoryBackend();
      queue.deliveries().subscribe((delivery) => delivery.ack());
      void queue.consume().next();
      await queue.publish('k', {});
      console.log('end of script');
    `);
    expect(result).toEqual({ exit: 0, output: 'end of script' });
  });

  it('stays for what is delayed while somebody is subscribed to a closed queue, then exits', async () => {
    const result = await run(`
      const queue = new MemoryBackend();
      queue.deliveries().subscribe({
        next: (delivery) => { console.log(delivery.key); void delivery.ack(); },
        complete: () => console.log('complete'),
      });
      void queue.publish('late', {}, { delay: 50 });
      await queue.close();
      console.log('end of script');
    `);
    expect(result).toEqual({ exit: 0, output: 'end of script\nlate\ncomplete' });
  });
});
