import type { DotState, Exit, Layout, PlacedDot } from './canvas.js';

/** How long a dot moves or fades, in milliseconds. `LivePicture.vue` has the same time. */
export const MOVE = 350;

/** How many dots may fade out at a time: more would be a blur. */
const MOST_LEAVING = 40;

/** A dot as it is drawn: where it is, or where it moves to. */
export interface Sprite extends Omit<PlacedDot, 'state'> {
  readonly state: DotState | Exit['how'] | 'gone';
  /** Whether it has just come, and is where it comes from. */
  readonly entering: boolean;
}

/** Whether a sprite fades out. */
export function isLeaving({ state }: Sprite): boolean {
  return state === 'acked' || state === 'rejected' || state === 'dead-lettered' || state === 'gone';
}

/**
 * Returns the sprites of the next layout. Those that it still has stay in their order: an element
 * that is moved within the document loses its transition.
 *
 * @param isStill whether nothing moves: then no sprite enters or leaves
 */
export function nextSprites(before: readonly Sprite[], layout: Layout, isStill: boolean): Sprite[] {
  const dots = new Map(layout.dots.map((dot) => [dot.id, dot]));
  if (isStill) return layout.dots.map((dot) => ({ ...dot, entering: false }));
  const known = new Map(before.map((sprite) => [sprite.id, sprite]));
  const entering = layout.dots.filter(({ id }) => {
    const sprite = known.get(id);
    return sprite === undefined || isLeaving(sprite);
  });
  const continued = new Set(entering.map(({ origin }) => origin));
  const exits = new Map(layout.exits.map((exit) => [exit.id, exit]));
  const next: Sprite[] = [];
  let leaving = 0;
  for (const sprite of before) {
    const dot = dots.get(sprite.id);
    if (dot !== undefined) {
      if (!isLeaving(sprite)) next.push({ ...dot, entering: false });
    } else if (isLeaving(sprite)) next.push(sprite);
    else if (!continued.has(sprite.id) && leaving++ < MOST_LEAVING) next.push(left(sprite, exits.get(sprite.id)));
  }
  for (const dot of entering) {
    const { x, y } = known.get(dot.origin ?? '') ?? known.get(dot.id) ?? dot.from;
    next.push({ ...dot, x, y, entering: true });
  }
  return next;
}

/** Moves the sprites that have entered to their places. */
export function arrived(sprites: readonly Sprite[], layout: Layout): Sprite[] {
  const dots = new Map(layout.dots.map((dot) => [dot.id, dot]));
  return sprites.map((sprite) => {
    const dot = sprite.entering ? dots.get(sprite.id) : undefined;
    return dot === undefined ? { ...sprite, entering: false } : { ...dot, entering: false };
  });
}

function left(sprite: Sprite, exit: Exit | undefined): Sprite {
  const gone = { ...sprite, entering: false, countdown: undefined };
  return exit === undefined ? { ...gone, state: 'gone' } : { ...gone, state: exit.how, x: exit.x, y: exit.y };
}
