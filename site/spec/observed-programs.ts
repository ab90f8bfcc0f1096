const PAUSE = 'const pause = (time: number) => new Promise<void>((resolve) => setTimeout(resolve, time));';

/** Programs that do the same with and without an observer, line by line and at the same times. */
export const observedPrograms: Readonly<Record<string, string>> = {
  'effects within the call': `
    import { MemoryBackend, type Delivery } from 'sluice';
    const queue = new MemoryBackend({ name: 'q' });
    console.log(queue instanceof MemoryBackend, queue.name, queue.closed, queue.constructor === MemoryBackend.prototype.constructor);
    queue.published$.subscribe(([key]) => console.log('published', key));
    queue.unfinished$.subscribe((count) => console.log('unfinished', count));
    void queue.publish('a', {});
    console.log(queue.size, queue.inFlight);
    const deliveries: Delivery[] = [];
    const subscription = queue.deliveries({ prefetch: 1 }).subscribe((delivery) => {
      console.log('delivered', delivery.key, delivery.attempt);
      deliveries.push(delivery);
    });
    console.log(queue.size, queue.inFlight);
    void queue.publish('b', {});
    console.log(queue.tryPublish('c', {}), queue.size);
    void deliveries[0]?.ack();
    console.log(deliveries.length, deliveries[0]?.settled);
    void deliveries[1]?.nack();
    console.log(deliveries.length, queue.size, queue.inFlight);
    console.log(await deliveries[1]?.ack());
    subscription.unsubscribe();
    console.log(queue.size, queue.inFlight, queue.clear().map(([key]) => key).join());
    await queue.close();
    await queue.join();`,

  'the order of continuations': `
    import { MemoryBackend } from 'sluice';
    ${PAUSE}
    const queue = new MemoryBackend({ name: 'q', capacity: 1 });
    const publishing = (async () => {
      for (let id = 1; id <= 4; id++) {
        await queue.publish('order', { id });
        console.log('published', id);
      }
      await queue.close();
    })();
    for await (const { payload } of queue.deliveries({ prefetch: 1 })) {
      console.log('received', JSON.stringify(payload));
      await pause(10);
    }
    await publishing;`,

  'handlers, retries and dead letters': `
    import { AsyncLoopConsumer, handle, MemoryBackend, UnrecoverableError } from 'sluice';
    const queue = new MemoryBackend({ name: 'q' });
    const failed = new MemoryBackend({ name: 'failed' });
    for (let id = 1; id <= 4; id++) void queue.publish('order', { id });
    const consumer = new AsyncLoopConsumer(queue, { concurrency: 2, retry: { count: 1, delay: 50 }, deadLetter: failed });
    consumer.outcomes$.subscribe(({ status, delivery, duration }) => console.log(status, delivery.attempt, duration));
    await queue.close();
    await consumer.run(async (payload, { attempt }) => {
      const { id } = payload as { id: number };
      if (id === 1) throw new Error('fails');
      if (id === 2) throw new UnrecoverableError('never');
      if (id === 3 && attempt === 1) throw new Error('once');
    });
    await failed.close();
    const letters = failed.deliveries().pipe(handle(({ payload, headers }) => JSON.stringify([payload, headers])));
    await letters.forEach((line) => { console.log(line); });`,

  'order per key, a timeout and a function for dead letters': `
    import { handle, MemoryBackend } from 'sluice';
    ${PAUSE}
    const queue = new MemoryBackend({ name: 'q' });
    for (let id = 1; id <= 6; id++) void queue.publish(id % 2 === 0 ? 'even' : 'odd', { id });
    await queue.close();
    await queue.deliveries({ prefetch: 4 }).pipe(
      handle(async ({ payload, key, attempt }) => {
        const { id } = payload as { id: number };
        if (id === 2) throw new Error('always');
        if (id === 3 && attempt === 1) await pause(1000);
        return key + id + '/' + attempt;
      }, { concurrency: 2, orderBy: 'key', timeout: 100, retry: { count: 1, delay: 20 }, deadLetter: ({ id, key }) => { console.log('dead', key); } }),
    ).forEach((line) => { console.log(line); });`,

  'loops, payloads and single messages': `
    import { MemoryBackend, receive } from 'sluice';
    ${PAUSE}
    const queue = new MemoryBackend({ name: 'q', groups: ['a', 'b'] });
    for (let id = 1; id <= 6; id++) await queue.publish('order', { id });
    for await (const delivery of queue.deliveries({ group: 'a' })) {
      console.log('a', JSON.stringify(delivery.payload), queue.inFlight);
      if (delivery.attempt === 1 && JSON.stringify(delivery.payload) === '{"id":2}') await delivery.nack({ delay: 30 });
      else if (JSON.stringify(delivery.payload) === '{"id":4}') break;
    }
    try {
      for await (const { attempt } of queue.deliveries({ group: 'a', prefetch: 2 })) throw new Error('attempt ' + attempt);
    } catch (error) { console.log(String(error)); }
    const one = await receive(queue, { group: 'b' });
    console.log('received', one.attempt, await one.release());
    for (const prefetch of [1, 2]) {
      let count = 0;
      for await (const payload of queue.consume({ group: 'b', prefetch })) {
        console.log('b', JSON.stringify(payload), JSON.stringify(await queue.stats({ group: 'b' })));
        if (++count === 2) break;
      }
    }
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    for await (const payload of queue.consume({ group: 'b', signal: controller.signal })) console.log(JSON.stringify(payload));
    console.log(JSON.stringify(await queue.groups()), await queue.purge());
    await queue.close();`,

  'batches, filters and publishes to another queue': `
    import { concatMap, mergeMap } from 'rxjs';
    import { filterDeliveries, inBatches, MemoryBackend, publishTo } from 'sluice';
    const queue = new MemoryBackend({ name: 'q' });
    const archive = new MemoryBackend({ name: 'archive', capacity: 100 });
    for (let id = 1; id <= 7; id++) void queue.publish(id % 3 === 0 ? 'audit' : 'order', { id });
    await queue.close();
    await queue.deliveries({ prefetch: 4 }).pipe(
      filterDeliveries(({ key }) => key === 'order'),
      inBatches({ maxSize: 2, maxWait: 20 }),
      concatMap(async (batch) => { await batch.ack(); return batch.deliveries; }),
      mergeMap((deliveries) => deliveries),
      publishTo(archive, ({ key, payload }) => [key, payload]),
    ).forEach(({ payload, settled }) => { console.log(JSON.stringify(payload), settled); });
    console.log(JSON.stringify(archive.clear()));
    await archive.close();`,

  'a shutdown that releases': `
    import { AsyncLoopConsumer, MemoryBackend } from 'sluice';
    ${PAUSE}
    const queue = new MemoryBackend({ name: 'q' });
    for (let id = 1; id <= 5; id++) void queue.publish('order', { id });
    for (const timeout of [0, 50, 500]) {
      const consumer = new AsyncLoopConsumer(queue, { concurrency: 2, prefetch: 'auto' });
      consumer.outcomes$.subscribe(({ status, delivery: { attempt } }) => console.log(status, attempt));
      const running = consumer.run(async (_payload, _delivery, { signal }) => {
        signal.addEventListener('abort', () => console.log('aborted'));
        await pause(100);
      });
      await pause(30);
      await consumer.shutdown({ timeout });
      await running;
      console.log(queue.size, queue.inFlight);
    }
    console.log(queue.clear().length);
    await queue.close();`,

  'a limit of deliveries': `
    import { handle, MemoryBackend } from 'sluice';
    const queue = new MemoryBackend({ name: 'q' });
    for (let id = 1; id <= 3; id++) void queue.publish('order', { id });
    for (let times = 0; times < 3; times++) queue.deliveries({ prefetch: 1 }).subscribe().unsubscribe();
    await queue.close();
    const rejected: string[] = [];
    await queue.deliveries().pipe(
      handle(({ attempt, payload }) => JSON.stringify(payload) + attempt, { retry: { count: 1 }, deliveryLimit: 3, onOutcome: ({ status }) => rejected.push(status) }),
    ).forEach((line) => { console.log(line); });
    console.log(rejected.join());`,

  'refused publishes': `
    import { MemoryBackend } from 'sluice';
    const attempt = async (publish: () => Promise<void>) => {
      try { await publish(); console.log('stored'); } catch (error) { console.log((error as Error).name); }
    };
    const queue = new MemoryBackend({ name: 'q', capacity: 1, overflow: 'error' });
    await attempt(() => queue.publish('', {}));
    await attempt(() => queue.publish('a', [] as never));
    await attempt(() => queue.publish('a', {}, { group: '' }));
    await attempt(() => queue.publish('a', {}, null as never));
    await attempt(() => queue.publish('a', {}, { id: 'one' }));
    await attempt(() => queue.publish('a', {}, { id: 'one' }));
    await attempt(() => queue.publish('a', {}));
    for (const options of [{ prefetch: 0 }, { group: 5 as never }]) {
      try { queue.deliveries(options); } catch (error) { console.log((error as Error).message); }
      try { queue.consume(options); } catch (error) { console.log((error as Error).message); }
    }
    const waiting = new MemoryBackend({ name: 'w', capacity: 1 });
    await waiting.publish('a', {});
    const controller = new AbortController();
    const gaveUp = attempt(() => waiting.publish('b', {}, { signal: controller.signal }));
    controller.abort(new RangeError('given up'));
    await gaveUp;
    const refused = attempt(() => waiting.publish('c', {}));
    await waiting.close({ drain: false });
    await refused;
    await queue.close({ drain: false });
    await attempt(() => queue.publish('a', {}));`,

  'the status of a queue that nothing has used': `
    import { MemoryBackend } from 'sluice';
    ${PAUSE}
    const queue = new MemoryBackend({ name: 'q' });
    queue.status$.subscribe((status) => console.log(status));
    await pause(100);
    console.log('used now');
    await queue.stats();
    await queue.close();`,

  'marbles of a TestScheduler': `
    import { map, tap } from 'rxjs';
    import { TestScheduler } from 'rxjs/testing';
    import { handle, MemoryBackend } from 'sluice';
    const scheduler = new TestScheduler((actual, expected) => {
      console.log(JSON.stringify(actual) === JSON.stringify(expected), JSON.stringify(actual));
    });
    scheduler.run(({ cold, expectObservable, flush }) => {
      const queue = new MemoryBackend({ name: 'q' });
      cold('--a-b---(c|)').subscribe((id) => void queue.publish('order', { id }));
      const attempts = queue.deliveries({ prefetch: 2 }).pipe(
        tap((delivery) => void (delivery.attempt < 2 ? delivery.nack({ delay: 4 }) : delivery.ack())),
        map(({ attempt }) => String(attempt)),
      );
      expectObservable(attempts, '----------------!').toBe('--1-1-2-(12)2');
      flush();
      console.log(queue.unfinished);
    });
    scheduler.run(({ expectObservable, flush }) => {
      const queue = new MemoryBackend({ name: 'q' });
      void queue.publish('order', { id: 1 }, { delay: 5 });
      const handled = queue.deliveries().pipe(
        handle(({ attempt }) => { if (attempt < 3) throw new Error('again'); return 'done'; }, { retry: { delay: 3 } }),
      );
      expectObservable(handled, '--------------------!').toBe('-----------a', { a: 'done' });
      flush();
    });`,
};
