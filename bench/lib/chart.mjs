import { figure, otherMessages, usualMessages } from './tables.mjs';

/** Colours that are readable on light and dark backgrounds. */
const TEXT = '#7a828c';
const FILL = { own: '#e8590c', limit: '#7a828c', floor: '#a9b0b8', peer: '#4c8fd6', batches: '#4c8fd6' };

const WIDTH = 800;
const LEFT = 215;
const BAR = 12;
const STEP = 17;
const HEAD = 40;
const GAP = 14;
/** The end of the scale, as a multiple of the limit. A longer bar is cut off and marked. */
const LONGEST = 1.3;
const UNIT = (WIDTH - LEFT - 75) / LONGEST;

/**
 * Draws the throughput of each contender relative to the limit, as bars grouped by scenario.
 * Returns SVG.
 */
export function chart({ environment: { date, node, cpu }, rounds, messages, scenarios }) {
  const groups = scenarios.filter(
    ({ unit, rows }) => unit === 'M/s' && rows.some(({ role, median }) => role === 'limit' && median !== undefined),
  );
  const parts = [];
  let y = 52;
  for (const group of groups) {
    parts.push(...drawGroup(group, y, messages));
    y += HEAD - 16 + group.rows.length * STEP + GAP;
  }
  const caption = `${date} · Node ${node} · ${cpu} · ${messages.toLocaleString('en')} messages · median of ${rounds} runs`;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 32}" viewBox="0 0 ${WIDTH} ${y + 32}" role="img" aria-label="Throughput relative to the limit">
<style>text { font: 13px system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; fill: ${TEXT} } .title { font-weight: 600; font-size: 15px } .own { font-weight: 600; fill: ${FILL.own} }</style>
<text x="8" y="22" class="title">Million messages a second; bars relative to what is written by hand (the limit)</text>
${parts.join('\n')}
<text x="8" y="${y + 4}">Pale: hands over arrays where the others hand over one value after the other.</text>
<text x="8" y="${y + 22}">${escapeXml(caption)}</text>
</svg>
`;
}

function drawGroup(group, top, messages) {
  const { rows } = group;
  const other = otherMessages(group, messages);
  const title = other === '' ? group.title : `${group.title} (${other})`;
  const limit = rows.find(({ role }) => role === 'limit').median;
  const sorted = [...rows].sort((one, other) => (other.median ?? 0) - (one.median ?? 0));
  const first = top + 10;
  const bottom = first + sorted.length * STEP - (STEP - BAR);
  const x = (LEFT + UNIT).toFixed(1);
  return [
    `<text x="8" y="${top}" class="title">${escapeXml(title)}</text>`,
    `<line x1="${x}" x2="${x}" y1="${first - 2}" y2="${bottom + 2}" stroke="${TEXT}" stroke-dasharray="3 3"/>`,
    ...sorted.map((row, index) => drawRow(row, first + index * STEP, limit, usualMessages(group, messages))),
  ];
}

function drawRow({ name, role, median, messages: count }, y, limit, messages) {
  const share = (median ?? 0) / limit;
  const width = Math.max(1, Math.min(share, LONGEST) * UNIT);
  const style = role === 'own' ? ' class="own"' : '';
  const notes = `${share > LONGEST ? '→ ' : ''}${median !== undefined && count !== messages ? `${count.toLocaleString('en')} messages: ` : ''}`;
  const value = median === undefined ? 'failed' : `${notes}${figure(median, 'M/s')}`;
  return [
    `<text x="${LEFT - 8}" y="${y + 11}" text-anchor="end"${style}>${escapeXml(name)}</text>`,
    `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" fill="${FILL[role]}"${role === 'batches' ? ' fill-opacity="0.5"' : ''}/>`,
    `<text x="${WIDTH - 8}" y="${y + 11}" text-anchor="end"${style}>${escapeXml(value)}</text>`,
  ].join('\n');
}

function escapeXml(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
