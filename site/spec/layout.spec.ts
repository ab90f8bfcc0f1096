import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { countdownOf, RADIUS } from '../picture/canvas';
import { type Box, describeSnapshot, type Layout, layOut, NARROW } from '../picture/layout';
import type { ConsumerView, Dot, GroupView, QueueView, Snapshot } from '../picture/snapshot';
import { runProgram } from './virtual-program';

const WIDTHS = [328, 360, 480, NARROW, NARROW + 1, 688, 768, 1000, 1200];
const MOST = 24;

const dots = (id: string, count: number, more: Partial<Dot> = {}): Dot[] =>
  Array.from({ length: Math.min(count, MOST) }, (_, index) => ({
    id: `${id}-${index}`,
    key: 'order',
    text: String(index),
    attempt: 1,
    ...more,
  }));

function consumer(id: number, prefetch: number, inFlight: number, active = true): ConsumerView {
  const deliveries = dots(`consumer-${id}`, inFlight, { handling: true });
  return { id, label: `consumer ${id}`, prefetch, deliveries, inFlight, active };
}

function group(name: string, ready: number, delayed: number, consumers: readonly ConsumerView[]): GroupView {
  return {
    name,
    ready,
    waiting: dots(`${name}-waiting`, ready),
    delayed: dots(`${name}-delayed`, delayed, { due: 2000, attempt: 2 }),
    delayedCount: delayed,
    hasDelays: delayed > 0,
    consumers,
    otherConsumers: 0,
    acked: 1,
    retried: 2,
    released: 3,
    rejected: 4,
    deadLettered: 5,
    finished: [
      { id: `${name}-a`, how: 'acked' },
      { id: `${name}-b`, how: 'dead-lettered' },
    ],
  };
}

function queue(name: string, groups: readonly GroupView[], more: Partial<QueueView> = {}): QueueView {
  const ready = Math.max(...groups.map((one) => one.ready));
  const inFlight = groups.flatMap((one) => one.consumers).reduce((sum, one) => sum + one.inFlight, 0);
  const delayed = groups.reduce((sum, one) => sum + one.delayedCount, 0);
  const size = ready + delayed;
  const counts = { size, inFlight, unfinished: size + inFlight, ready, published: 1000 };
  return { name, capacity: undefined, closed: false, publishing: [], publishingCount: 0, groups, ...counts, ...more };
}

const LARGE: Snapshot = {
  now: 1000,
  queues: [
    queue(
      'orders',
      [
        group('billing', 100_000, 500, [consumer(1, 1, 1), consumer(2, 100, 90), consumer(3, 32, 0, false)]),
        group('audit', 3, 0, []),
      ],
      { capacity: 100, publishing: dots('publishing', 70), publishingCount: 70 },
    ),
    queue('a-queue-with-a-rather-long-name.failed', [group('default', 1, 1, [consumer(4, 7, 7)])], { closed: true }),
  ],
};

const isInside = (box: Box, x: number, y: number, radius: number): boolean =>
  x - radius >= box.x && x + radius <= box.x + box.width && y - radius >= box.y && y + radius <= box.y + box.height;

const overlap = (one: Box, other: Box): boolean =>
  one.x < other.x + other.width &&
  other.x < one.x + one.width &&
  one.y < other.y + other.height &&
  other.y < one.y + one.height;

function pairs<Item>(items: readonly Item[]): [Item, Item][] {
  return items.flatMap((one, index) => items.slice(index + 1).map((other): [Item, Item] => [one, other]));
}

/** Checks everything that holds for every picture. */
function check(snapshot: Snapshot, layout: Layout): void {
  const boxes = new Map(layout.boxes.map((box) => [box.id, box]));
  expect(boxes.size).toBe(layout.boxes.length);
  expect(layout.boxes.filter((box) => box.x < 0 || box.x + box.width > layout.width)).toEqual([]);
  expect(layout.boxes.filter((box) => box.y + box.height > layout.height)).toEqual([]);
  expect(pairs(layout.boxes).filter(([one, other]) => overlap(one, other))).toEqual([]);
  expect(layout.dots.filter(({ box, x, y }) => !isInside(boxes.get(box) as Box, x, y, RADIUS))).toEqual([]);
  expect(
    pairs(layout.dots).filter(([one, other]) => Math.hypot(one.x - other.x, one.y - other.y) < 2 * RADIUS),
  ).toEqual([]);
  const consumers = layout.boxes.filter(({ kind }) => kind === 'consumer');
  expect(layout.slots.every(({ x, y }) => consumers.some((box) => isInside(box, x, y, RADIUS)))).toBe(true);
  const ids = [...layout.labels, ...layout.counts, ...layout.slots, ...layout.arrows].map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { x, y } of layout.labels) {
    expect(x).toBeGreaterThanOrEqual(0);
    expect(x).toBeLessThanOrEqual(layout.width);
    expect(y).toBeLessThanOrEqual(layout.height);
  }
  for (const { end, x } of layout.counts) expect(Math.max(end, x)).toBeLessThanOrEqual(layout.width);

  for (const [index, view] of snapshot.queues.entries()) {
    const { name, groups, ready, inFlight, unfinished, published, publishingCount } = view;
    const values = (of: string | undefined) =>
      Object.fromEntries(
        layout.counts
          .filter((count) => count.queue === name && count.group === of)
          .map(({ count, value }) => [count, value]),
      );
    expect(values(undefined)).toEqual({ ready, 'in-flight': inFlight, unfinished, published });
    const shownIn = (id: string) => {
      const more = layout.labels.find((label) => label.id === `${id}.more`)?.text ?? '+0';
      return layout.dots.filter(({ box }) => box === id).length + Number(more);
    };
    if (view.capacity !== undefined) expect(shownIn(`queue-${index}.publishers`)).toBe(publishingCount);
    for (const [place, one] of groups.entries()) {
      const { acked, retried, released, rejected, deadLettered } = one;
      const wanted = { ready: one.ready, acked, retried, released, rejected, 'dead-lettered': deadLettered };
      expect(values(one.name)).toEqual(wanted);
      const id = `queue-${index}.${place}`;
      expect(shownIn(`${id}.ready`)).toBe(one.ready);
      if (one.hasDelays) expect(shownIn(`${id}.delayed`)).toBe(one.delayedCount);
    }
  }
}

describe('layOut', () => {
  it.each(WIDTHS)('keeps everything in its place with many messages at %d pixels', (width) => {
    const layout = layOut(LARGE, width);
    check(LARGE, layout);
    expect(layout.wide).toBe(width > NARROW);
  });

  const folder = path.join(__dirname, '..', 'examples');
  const names = readdirSync(folder).filter((file) => file.endsWith('.ts') && file !== 'index.ts');

  it.each(names)('keeps everything in its place in each moment of %s', async (name) => {
    const { snapshots } = await runProgram(readFileSync(path.join(folder, name), 'utf8'), true);
    expect(snapshots.length).toBeGreaterThan(3);
    for (const snapshot of snapshots) for (const width of WIDTHS) check(snapshot, layOut(snapshot, width));
  });

  it('places the message that is delivered next where the flow leaves the lane', () => {
    const snapshot = { now: 0, queues: [queue('orders', [group('default', 3, 0, [consumer(1, 2, 0)])])] };
    const wide = layOut(snapshot, 800).dots.map(({ x }) => x);
    expect(wide).toEqual([...wide].sort((one, other) => other - one));
    const narrow = layOut(snapshot, 328).dots.map(({ x }) => x);
    expect(narrow).toEqual([...narrow].sort((one, other) => one - other));
  });

  it('draws a slot for each credit, and a dot in a slot for each delivery', () => {
    const { slots, dots: placed } = layOut(
      { now: 0, queues: [queue('orders', [group('default', 0, 0, [consumer(1, 5, 3)])])] },
      800,
    );
    expect(slots).toHaveLength(5);
    expect(placed.map(({ x, y, state }) => ({ x, y, state }))).toEqual(
      slots.slice(0, 3).map(({ x, y }) => ({ x, y, state: 'handling' })),
    );
  });

  it('tells how long a message is delayed', () => {
    const { dots: placed } = layOut({ now: 800, queues: [queue('orders', [group('default', 0, 1, [])])] }, 800);
    expect(placed.map(({ state, countdown, attempt }) => ({ state, countdown, attempt }))).toEqual([
      { state: 'delayed', countdown: '1.2 s', attempt: 2 },
    ]);
  });

  it('tells where the finished messages leave', () => {
    const { exits, boxes } = layOut({ now: 0, queues: [queue('orders', [group('default', 0, 0, [])])] }, 800);
    const settled = boxes.find(({ kind }) => kind === 'settled') as Box;
    expect(exits.map(({ id, how }) => [id, how])).toEqual([
      ['default-a', 'acked'],
      ['default-b', 'dead-lettered'],
    ]);
    expect(exits.every(({ x, y }) => isInside(settled, x, y, 0))).toBe(true);
    expect(exits[0]?.y).toBeLessThan(exits[1]?.y as number);
  });

  it('is empty without a queue', () => {
    expect(layOut({ now: 0, queues: [] }, 800)).toMatchObject({ height: 0, boxes: [], dots: [] });
  });
});

describe('countdownOf', () => {
  it.each([
    [-5, '0.0 s'],
    [1, '0.1 s'],
    [1240, '1.3 s'],
    [59_000, '59 s'],
    [60_000, '60 s'],
    [600_000, '10 min'],
    [7_200_000, '2 h'],
  ])('%d ms are %s', (milliseconds, text) => {
    expect(countdownOf(milliseconds)).toBe(text);
  });
});

describe('describeSnapshot', () => {
  it('says the numbers in words', () => {
    const [orders] = LARGE.queues;
    expect(describeSnapshot({ now: 0, queues: [orders as QueueView] })).toBe(
      'Queue orders: 1000 published, 70 publishes wait for room, 100000 ready, 91 in flight, 100591 unfinished. ' +
        'Group billing: 2 consumers, 500 delayed, 1 acked, 2 retried, 3 released, 4 rejected, 5 dead-lettered. ' +
        'Group audit: 0 consumers, 1 acked, 2 retried, 3 released, 4 rejected, 5 dead-lettered.',
    );
  });

  it('says so if there is none', () => {
    expect(describeSnapshot({ now: 0, queues: [] })).toBe('No queue yet.');
  });
});
