import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { propagation, type SpanContext, trace } from '@opentelemetry/api';
import { traced } from 'sluice/opentelemetry';
import { programOf } from '../support/program.js';
import { RedisSuite } from '../support/redis-suite.js';
import { ROOT } from '../support/root.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { handleNext, Recorder } from './recorder.js';

const run = promisify(execFile);

interface Published {
  readonly publish: SpanContext;
  readonly parent: string;
  readonly request: string;
}

describeWithRedis('A trace across two processes on Redis', () => {
  const suite = new RedisSuite();
  const recorder = new Recorder();

  /** Publishes in a process of its own. */
  async function publish(): Promise<Published> {
    const settings = JSON.stringify({ url: suite.url, name: suite.name });
    const program = programOf('spec/opentelemetry/fixtures/publisher.ts');
    const { stdout } = await run(process.execPath, [program, settings], { cwd: ROOT });
    return JSON.parse(stdout) as Published;
  }

  it.each(['link', 'parent'] as const)('goes from the request to the handler: %s', async (mode) => {
    const queue = traced(suite.open(), { ...recorder.options, process: mode });
    const published = await publish();
    expect(published.parent).toBe(published.request);
    const seen: unknown[] = [];
    await handleNext(queue, 1, async ({ payload }) => {
      await new Promise(setImmediate);
      seen.push(
        payload,
        propagation.getActiveBaggage()?.getEntry('tenant')?.value,
        trace.getActiveSpan() !== undefined,
      );
    });
    expect(seen).toEqual([{ n: 1 }, 'acme', true]);
    const span = recorder.span(`process ${suite.name}`);
    expect(span.attributes['messaging.system']).toBe('redis');
    const sender = { traceId: published.publish.traceId, spanId: published.publish.spanId, isRemote: true };
    if (mode === 'parent') {
      expect(span.parentSpanContext).toMatchObject(sender);
      expect(span.spanContext().traceId).toBe(sender.traceId);
    } else {
      expect(span.parentSpanContext).toBeUndefined();
      expect(span.links).toMatchObject([{ context: sender }]);
    }
  });
});
