import { counterpart } from './summary.mjs';

/** A figure as the tables show it. */
export function figure(value, unit) {
  if (value === undefined || value === null) return '–';
  if (unit === 'bytes') return value.toFixed(0);
  return value.toFixed(2);
}

const ratio = (value) => (value === undefined || value === null ? '–' : `${value.toFixed(2)} ×`);

export function goalText({ atLeast, atMost, of }, unit) {
  if (of !== undefined) return `at least ${atLeast} × ${of === 'limit' ? 'the limit' : of === 'best peer' ? 'the best peer' : of}`;
  return `at most ${atMost}${unit === '×' ? ' ×' : ` ${unit}`}`;
}

const verdict = (met) => (met === null ? 'unknown' : met ? 'met' : 'missed');

function conditions({ environment: { date, node, cpu, cores, loadBefore, loadAfter }, rounds, messages }) {
  return `${date}, Node ${node}, ${cpu} (${cores} cores), ${messages.toLocaleString('en')} messages, median of ${rounds} interleaved runs, a process each; load average ${loadBefore.toFixed(1)} before, ${loadAfter.toFixed(1)} after`;
}

/** Everything, for the terminal: each scenario with its contenders, best first, and what became of its goals. */
export function textTable(results) {
  const lines = [conditions(results)];
  for (const { title, text, unit, rows, goals } of results.scenarios) {
    lines.push('', `${title} – ${text}`);
    const own = rows.find(({ id }) => id === 'sluice')?.median;
    const best = unit === 'M/s' ? -1 : 1;
    for (const row of [...rows].sort((one, other) => best * ((one.median ?? 0) - (other.median ?? 0)))) {
      lines.push(row.failed === undefined ? textRow(row, unit, own, results.messages) : `  ${row.name.padEnd(28)} ${row.failed}`);
    }
    for (const goal of goals) {
      const against = goal.against === undefined ? '' : ` (${goal.against})`;
      const reached = goal.of === undefined ? figure(goal.reached, unit) : ratio(goal.reached);
      lines.push(`  goal: ${goalText(goal, unit)}${against}: ${reached}, ${verdict(goal.met)}`);
    }
  }
  return lines.join('\n');
}

function textRow({ name, median, min, max, messages }, unit, own, usual) {
  const range = `(${figure(min, unit)} to ${figure(max, unit)})`;
  const relative = own === undefined ? '' : `sluice is ${ratio(own / median)}`;
  const fewer = messages === usual ? '' : `, with ${messages.toLocaleString('en')} messages`;
  return `  ${name.padEnd(28)} ${figure(median, unit).padStart(8)} ${unit.padEnd(5)} ${range.padEnd(20)} ${relative}${fewer}`;
}

/** Two tables for the README: the goals, and every figure. */
export function markdown(results) {
  return `${[`${conditions(results)}.`, goalTable(results), figureTable(results), ...notes(results)].join('\n\n')}\n`;
}

function goalTable({ scenarios }) {
  const lines = [];
  for (const { title, unit, rows, goals } of scenarios) {
    const show = (row) => (row?.median === undefined ? '' : `${figure(row.median, unit)} ${unit}`);
    const peer = goals.some(({ of }) => of === 'best peer') ? counterpart('best peer', rows) : undefined;
    const first = [title, show(counterpart('sluice', rows)), show(counterpart('limit', rows)), peer ? `${show(peer)} (${peer.name})` : ''];
    goals.forEach((goal, index) => {
      const reached = goal.of === undefined ? `${figure(goal.reached, unit)} ${unit}` : ratio(goal.reached);
      lines.push([...(index === 0 ? first : ['', '', '', '']), goalText(goal, unit), reached, verdict(goal.met)]);
    });
  }
  return align(['Scenario', 'sluice>', 'limit>', 'best peer', 'goal', 'reached>', ''], lines);
}

function figureTable({ scenarios, messages }) {
  const names = new Map(scenarios.flatMap(({ rows }) => rows.map(({ id, name }) => [id, name])));
  const lines = [...names].map(([contender, name]) => {
    const cells = scenarios.map(({ rows, unit }) => {
      const row = rows.find(({ id }) => id === contender);
      if (row === undefined) return '';
      return row.failed === undefined ? `${figure(row.median, unit)}${row.messages === messages ? '' : ' ¹'}` : 'failed';
    });
    return [name, ...cells];
  });
  return align(['', ...scenarios.map(({ id, unit }) => `${id}, ${unit}>`)], lines);
}

/** A Markdown table as Biome formats it; a column whose head ends in `>` is aligned to the right. */
function align(heads, lines) {
  const right = heads.map((head) => head.endsWith('>'));
  const rows = [heads.map((head) => head.replace('>', '')), ...lines];
  const widths = heads.map((_, column) => Math.max(3, ...rows.map((row) => row[column].length)));
  const pad = (text, column) => (right[column] ? text.padStart(widths[column]) : text.padEnd(widths[column]));
  const rule = widths.map((width, column) => (right[column] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  const [head, ...body] = rows.map((row) => row.map(pad));
  return [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function notes({ scenarios, messages, fewerMessages }) {
  const explained = scenarios.map(({ id, title, text }) => `- \`${id}\`: ${title}. ${text}`).join('\n');
  const fewer = scenarios.some(({ unit, rows }) => unit === 'M/s' && rows.some((row) => row.failed === undefined && row.messages !== messages));
  if (!fewer) return [explained];
  return [`¹ With ${fewerMessages.toLocaleString('en')} messages: its time grows with the square of the backlog.`, explained];
}
