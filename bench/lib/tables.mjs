import { counterpart, lowerIsBetter } from './summary.mjs';

/** Formats a figure for the tables. */
export function figure(value, unit) {
  if (value === undefined || value === null) return '–';
  if (unit === 'bytes') return value.toFixed(0);
  if (unit === 'k/s') return value.toFixed(value < 10 ? 2 : 1);
  return value.toFixed(2);
}

const ratio = (value) => (value === undefined || value === null ? '–' : `${value.toFixed(2)} ×`);

export function goalText({ atLeast, atMost, of }, unit) {
  const bound = atMost === undefined ? `at least ${atLeast}` : `at most ${atMost}`;
  if (of === undefined) return `${bound} ${unit}`;
  return `${bound} × ${of === 'limit' ? 'the limit' : of === 'best peer' ? 'the best peer' : of}`;
}

const verdict = (met) => (met === null ? 'unknown' : met ? 'met' : 'missed');

/** Returns the usual number of messages of a scenario. */
export const usualMessages = (scenario, messages) => scenario.messages ?? messages;

export function otherMessages(scenario, messages) {
  const usual = usualMessages(scenario, messages);
  return usual === messages || usual === 0 ? '' : `${usual.toLocaleString('en')} messages`;
}

function fewerRounds(scenario, rounds) {
  if ((scenario.rounds ?? rounds) === rounds) return '';
  return scenario.rounds === 1 ? 'One run.' : `Median of ${scenario.rounds} runs.`;
}

const tookFewer = (row, scenario, messages) =>
  row.failed === undefined && row.messages !== usualMessages(scenario, messages);

function conditions({
  environment: { date, node, server, cpu, cores, loadBefore, loadAfter },
  rounds,
  messages,
  scenarios,
}) {
  const noted = (some) => (some ? ' unless noted below' : '');
  const others = noted(scenarios.some((scenario) => otherMessages(scenario, messages) !== ''));
  const fewer = noted(scenarios.some((scenario) => fewerRounds(scenario, rounds) !== ''));
  const software = [`Node ${node}`, server].filter((name) => name !== undefined).join(', ');
  return `${date}, ${software}, ${cpu} (${cores} cores), ${messages.toLocaleString('en')} messages${others}, median of ${rounds} interleaved runs${fewer}, a process each; load average ${loadBefore.toFixed(1)} before, ${loadAfter.toFixed(1)} after`;
}

/**
 * Formats everything for the terminal: each scenario with its contenders, the best one first, and
 * whether its goals are met.
 */
export function textTable(results) {
  const lines = [conditions(results)];
  for (const scenario of results.scenarios) {
    const { unit, rows, goals } = scenario;
    const usual = usualMessages(scenario, results.messages);
    lines.push('', `${scenario.title} – ${explanation(scenario, results)}`);
    const own = rows.find(({ id }) => id === 'sluice')?.median;
    const best = lowerIsBetter(scenario) ? 1 : -1;
    for (const row of [...rows].sort((one, other) => best * ((one.median ?? 0) - (other.median ?? 0)))) {
      lines.push(row.failed === undefined ? textRow(row, unit, own, usual) : `  ${row.name.padEnd(28)} ${row.failed}`);
      const details = Object.entries(row.details ?? {}).map(
        ([key, value]) => `${scenario.details[key]}: ${figure(value)}`,
      );
      if (details.length > 0) lines.push(`    ${details.join('; ')}`);
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

function explanation(scenario, { messages, rounds }) {
  const other = otherMessages(scenario, messages);
  return [scenario.text, other === '' ? '' : `With ${other}.`, fewerRounds(scenario, rounds)]
    .filter((sentence) => sentence !== '')
    .join(' ');
}

/**
 * Formats Markdown tables: the goals, and the figures. Scenarios with similar contenders share a
 * table.
 */
export function markdown(results) {
  const tables = [...new Set(results.scenarios.map(({ table }) => table))];
  const scenariosOf = (name) => results.scenarios.filter(({ table }) => table === name);
  const figures = tables.map((name) => figureTable(scenariosOf(name), results.messages));
  return `${[`${conditions(results)}.`, goalTable(results), ...figures, ...notes(results)].join('\n\n')}\n`;
}

function goalTable({ scenarios }) {
  const lines = [];
  const isPeer = ({ of }) => of === 'best peer';
  const peers = scenarios.some(({ goals }) => goals.some(isPeer));
  for (const scenario of scenarios) {
    const { title, unit, rows, goals } = scenario;
    const show = (row) => (row?.median === undefined ? '' : `${figure(row.median, unit)} ${unit}`);
    const peer = peers ? counterpart('best peer', rows, lowerIsBetter(scenario)) : undefined;
    const first = [title, show(counterpart('sluice', rows)), show(counterpart('limit', rows))];
    if (peers) first.push(peer ? `${show(peer)} (${peer.name})` : '');
    goals.forEach((goal, index) => {
      const reached = goal.of === undefined ? `${figure(goal.reached, unit)} ${unit}` : ratio(goal.reached);
      lines.push([...(index === 0 ? first : first.map(() => '')), goalText(goal, unit), reached, verdict(goal.met)]);
    });
  }
  return align(['Scenario', 'sluice>', 'limit>', ...(peers ? ['best peer'] : []), 'goal', 'reached>', ''], lines);
}

function figureTable(scenarios, messages) {
  const names = new Map(scenarios.flatMap(({ rows }) => rows.map(({ id, name }) => [id, name])));
  const lines = [...names].map(([contender, name]) => {
    const cells = scenarios.flatMap((scenario) => {
      const row = scenario.rows.find(({ id }) => id === contender);
      const details = Object.keys(scenario.details ?? {}).map((key) => figure(row?.details?.[key]));
      if (row === undefined) return ['', ...details];
      if (row.failed !== undefined) return ['failed', ...details];
      return [`${figure(row.median, scenario.unit)}${tookFewer(row, scenario, messages) ? ' ¹' : ''}`, ...details];
    });
    return [name, ...cells];
  });
  const heads = scenarios.flatMap(({ id, unit, details = {} }) => [`${id}, ${unit}`, ...Object.values(details)]);
  return align(['', ...heads.map((head) => `${head}>`)], lines);
}

/**
 * Formats a Markdown table as Biome does. A column whose head ends in `>` is aligned to the right.
 */
function align(heads, lines) {
  const right = heads.map((head) => head.endsWith('>'));
  const rows = [heads.map((head) => head.replace('>', '')), ...lines];
  const widths = heads.map((_, column) => Math.max(3, ...rows.map((row) => row[column].length)));
  const pad = (text, column) => (right[column] ? text.padStart(widths[column]) : text.padEnd(widths[column]));
  const rule = widths.map((width, column) => (right[column] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  const [head, ...body] = rows.map((row) => row.map(pad));
  return [head, rule, ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function notes(results) {
  const { scenarios, messages, fewerMessages } = results;
  const explained = scenarios
    .map((scenario) => `- \`${scenario.id}\`: ${scenario.title}. ${explanation(scenario, results)}`)
    .join('\n');
  const fewer = scenarios.some(
    (scenario) => scenario.unit === 'M/s' && scenario.rows.some((row) => tookFewer(row, scenario, messages)),
  );
  if (!fewer) return [explained];
  return [
    `¹ With ${fewerMessages.toLocaleString('en')} messages: its time grows with the square of the backlog.`,
    explained,
  ];
}
