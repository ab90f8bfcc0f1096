import type { Layout, PlacedDot } from '../picture/layout';
import { arrived, isLeaving, nextSprites, type Sprite } from '../picture/sprites';

const dot = (id: string, more: Partial<PlacedDot> = {}): PlacedDot => ({
  id,
  origin: undefined,
  state: 'waiting',
  deadLetter: false,
  text: id,
  attempt: 1,
  countdown: undefined,
  x: 100,
  y: 50,
  box: 'ready',
  from: { x: 10, y: 20 },
  ...more,
});

const layout = (dots: readonly PlacedDot[], more: Partial<Layout> = {}): Layout => ({
  width: 800,
  height: 100,
  wide: true,
  boxes: [],
  labels: [],
  counts: [],
  slots: [],
  exits: [],
  arrows: [],
  dots,
  ...more,
});

const show = (sprites: readonly Sprite[]) =>
  sprites.map(({ id, state, x, y, entering }) => [id, state, x, y, entering]);

/** The sprites of layouts that follow one another, each after the last one has arrived. */
function follow(...layouts: readonly Layout[]): Sprite[] {
  return layouts.reduce<Sprite[]>((before, next) => arrived(nextSprites(before, next, false), next), []);
}

describe('nextSprites', () => {
  it('lets a new dot come from its publisher, then moves it to its place', () => {
    const next = layout([dot('a')]);
    const entering = nextSprites([], next, false);
    expect(show(entering)).toEqual([['a', 'waiting', 10, 20, true]]);
    expect(show(arrived(entering, next))).toEqual([['a', 'waiting', 100, 50, false]]);
  });

  it('lets a dot continue where its origin was, which does not fade out', () => {
    const before = follow(layout([dot('publish', { x: 5, y: 6 })]));
    const next = nextSprites(before, layout([dot('a', { origin: 'publish' })]), false);
    expect(show(next)).toEqual([['a', 'waiting', 5, 6, true]]);
  });

  it('moves a dot that it has, in the order of the elements', () => {
    const before = follow(layout([dot('a'), dot('b')]));
    const next = nextSprites(before, layout([dot('b', { x: 200, state: 'in-flight' }), dot('c'), dot('a')]), false);
    expect(show(next)).toEqual([
      ['a', 'waiting', 100, 50, false],
      ['b', 'in-flight', 200, 50, false],
      ['c', 'waiting', 10, 20, true],
    ]);
  });

  it('lets a finished dot leave by its count, and any other fade where it is', () => {
    const before = follow(layout([dot('a'), dot('b'), dot('c')]));
    const exits = [
      { id: 'a', how: 'acked', x: 700, y: 10 },
      { id: 'b', how: 'dead-lettered', x: 700, y: 90 },
    ] as const;
    const next = nextSprites(before, layout([], { exits }), false);
    expect(show(next)).toEqual([
      ['a', 'acked', 700, 10, false],
      ['b', 'dead-lettered', 700, 90, false],
      ['c', 'gone', 100, 50, false],
    ]);
    expect(next.every(isLeaving)).toBe(true);
    // They stay until they have faded, also if the picture changes meanwhile.
    expect(show(nextSprites(next, layout([dot('d')]), false)).map(([id]) => id)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('lets a dot that was leaving come again', () => {
    const leaving = nextSprites(follow(layout([dot('a')])), layout([]), false);
    expect(show(nextSprites(leaving, layout([dot('a')]), false))).toEqual([['a', 'waiting', 100, 50, true]]);
  });

  it('does not let thousands fade out at a time', () => {
    const many = Array.from({ length: 1000 }, (_, index) => dot(`dot-${index}`));
    expect(nextSprites(follow(layout(many)), layout([]), false)).toHaveLength(40);
  });

  it('moves nothing for readers who prefer that', () => {
    const before = follow(layout([dot('a')]));
    const exits = [{ id: 'a', how: 'acked', x: 700, y: 10 }] as const;
    expect(show(nextSprites(before, layout([dot('b')], { exits }), true))).toEqual([['b', 'waiting', 100, 50, false]]);
  });
});
