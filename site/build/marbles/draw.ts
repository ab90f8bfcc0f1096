/**
 * Draws diagrams as SVG. Swirly, the usual tool, cannot: it reads a character as ten frames and no
 * spaces or times of run mode, draws marbles of one frame on top of each other, has no batches, and
 * writes fixed colours, which would not follow the colour scheme.
 */
import { describeDiagram } from './describe.js';
import type { Diagram, DiagramEvent, DiagramRow } from './diagrams.js';

/** The width of most diagrams. */
const WIDTH = 560;
/** The least and the greatest width of a millisecond: marbles of neighbouring frames touch, at most. */
const [MIN_FRAME, MAX_FRAME] = [24, 40];
const RADIUS = 12;
/** The distance of marbles of one frame, which overlap a little. */
const STEP = 22;
const LABEL = 22;
const GAP = 12;
const BOX = 36;
const AXIS = 16;
const SIDE = 20;
/** The room for the end of the last frame and the head of the arrow. */
const ARROW = 30;
/** The width of a character in the operator box. */
const CHARACTER = 7.9;
/** There are classes for this many colours. */
const COLOURS = 6;

type Next = Extract<DiagramEvent, { kind: 'next' }>;

/** What all rows of a diagram share. */
interface Layout {
  readonly width: number;
  /** The place of a frame. */
  readonly xOf: (frame: number) => number;
  /** The colour of a letter. */
  readonly colourOf: (letter: string) => number;
}

/** Events of one frame. */
interface Stack {
  readonly x: number;
  /** A batch is a marble of its own: an array. */
  readonly items: readonly Next[];
  readonly end: 'complete' | 'error' | undefined;
}

export function drawDiagram(diagram: Diagram): string {
  const { rows, operator } = diagram;
  const frames = Math.max(...rows.map((row) => row.frames));
  const room = WIDTH - 2 * SIDE - ARROW;
  const frame = Math.min(MAX_FRAME, Math.max(MIN_FRAME, Math.floor(room / frames)));
  const width = Math.ceil(Math.max(WIDTH, 2 * SIDE + frames * frame + ARROW, operator.length * CHARACTER + 2 * SIDE));
  const layout: Layout = { width, xOf: (time) => SIDE + time * frame, colourOf: numberLetters(rows) };
  const parts: string[] = [];
  let y = 0;
  const drawRows = (role: DiagramRow['role']) => {
    for (const row of rows.filter((candidate) => candidate.role === role)) {
      const { svg, height } = drawRow(row, y, layout);
      parts.push(svg);
      y += height;
    }
  };
  drawRows('input');
  parts.push(drawOperator(operator, y, width));
  y += BOX + GAP;
  drawRows('output');
  parts.push(drawAxis(frames, y, layout));
  y += AXIS;
  return (
    `<svg class="marbles-svg" role="img" aria-label="${escapeText(describeDiagram(diagram))}" ` +
    `viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" style="--marbles-width: ${width}px" ` +
    `xmlns="http://www.w3.org/2000/svg">${parts.join('')}</svg>`
  );
}

/** Numbers the letters in the order in which the rows show them. */
function numberLetters(rows: readonly DiagramRow[]): (letter: string) => number {
  const letters = new Set(
    rows.flatMap(({ events }) => events.flatMap((event) => (event.kind === 'next' ? identities(event) : []))),
  );
  const order = [...letters];
  return (letter) => order.indexOf(letter) % COLOURS;
}

/** A batch consists of messages, which keep their colours. */
function identities({ letter, value }: Next): string[] {
  return typeof value === 'object' ? value.map(String) : [letter];
}

function drawRow(row: DiagramRow, top: number, layout: Layout): { svg: string; height: number } {
  const stacks = stacksOf(row.events, layout.xOf);
  const half = Math.max(RADIUS + 2, ...stacks.map(({ items }) => heightOf(items) / 2));
  const middle = top + LABEL + half;
  const ticks = Array.from({ length: row.frames + 1 }, (_, frame) => `M${layout.xOf(frame)} ${middle - 3}v6`);
  const svg = [
    `<text class="marbles-label" x="${SIDE - RADIUS}" y="${top + 14}">${escapeText(row.label)}</text>`,
    `<path class="marbles-tick" d="${ticks.join('')}"/>`,
    `<path class="marbles-line" d="M${SIDE - RADIUS} ${middle}H${layout.width - 8}m-7 -5l7 5l-7 5"/>`,
    ...stacks.map((stack) => drawStack(stack, middle, half, layout.colourOf)),
  ];
  return { svg: `<g>${svg.join('')}</g>`, height: LABEL + 2 * half + GAP };
}

/** The time, every 5 ms. */
function drawAxis(frames: number, top: number, { xOf }: Layout): string {
  const times = Array.from({ length: Math.floor(frames / 5) + 1 }, (_, index) => index * 5);
  return times
    .map(
      (time) => `<text class="marbles-time" x="${xOf(time)}" y="${top + 10}">${time}${time === 0 ? '' : ' ms'}</text>`,
    )
    .join('');
}

function stacksOf(events: readonly DiagramEvent[], xOf: Layout['xOf']): Stack[] {
  return [...new Set(events.map(({ frame }) => frame))].map((frame) => {
    const here = events.filter((event) => event.frame === frame);
    return {
      x: xOf(frame),
      items: here.filter((event) => event.kind === 'next'),
      end: here.map(({ kind }) => kind).find((kind) => kind !== 'next'),
    };
  });
}

const isBatch = ([item]: readonly Next[]): boolean => typeof item?.value === 'object';

/** The texts of marbles at one place, from top to bottom. */
function faces(items: readonly Next[]): { readonly letter: string; readonly text: string }[] {
  return items.flatMap(({ letter, value }) =>
    typeof value === 'object'
      ? value.map((element) => ({ letter: String(element), text: String(element) }))
      : [{ letter, text: String(value) }],
  );
}

function heightOf(items: readonly Next[]): number {
  const count = faces(items).length;
  return count === 0 ? 0 : 2 * RADIUS + (count - 1) * STEP + (isBatch(items) ? 10 : 2);
}

function drawStack({ x, items, end }: Stack, middle: number, half: number, colourOf: Layout['colourOf']): string {
  const marbles = faces(items);
  const first = middle - ((marbles.length - 1) * STEP) / 2;
  const parts = marbles.map(({ letter, text }, index) => {
    const y = first + index * STEP;
    const long = text.length > 2 ? ' marbles-long' : '';
    return (
      `<g class="marble marble-${colourOf(letter)}"><circle cx="${x}" cy="${y}" r="${RADIUS}"/>` +
      `<text class="marbles-value${long}" x="${x}" y="${y + 4.5}">${escapeText(text)}</text></g>`
    );
  });
  if (isBatch(items)) {
    const [w, h] = [2 * RADIUS + 8, heightOf(items) - 2];
    parts.unshift(
      `<rect class="marbles-batch" x="${x - w / 2}" y="${middle - h / 2}" width="${w}" height="${h}" rx="${w / 2}"/>`,
    );
  }
  const bar = Math.min(half, 17);
  // The end is behind the marbles of its frame, and longer than these.
  if (end === 'complete') {
    const reach = Math.max(bar, heightOf(items) / 2 + 5);
    parts.unshift(`<path class="marbles-end" d="M${x} ${middle - reach}v${2 * reach}"/>`);
  }
  if (end === 'error') parts.unshift(`<path class="marbles-end" d="M${x - 9} ${middle - 9}l18 18m0 -18l-18 18"/>`);
  return parts.join('');
}

function drawOperator(operator: string, top: number, width: number): string {
  return (
    `<g class="marbles-operator"><rect x="1" y="${top}" width="${width - 2}" height="${BOX}" rx="8"/>` +
    `<text x="${width / 2}" y="${top + BOX / 2 + 4.5}">${escapeText(operator)}</text></g>`
  );
}

function escapeText(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('{', '&#123;')
    .replaceAll('}', '&#125;');
}
