/**
 * The section of most scenarios without a server. Those with one have its name as their section.
 */
export const IN_PROCESS = 'in-process';

/** Returns the entries that a comma-separated list names, by their ids or tables. Default: all. */
export function choose(all, list) {
  if (list === undefined) return all;
  const names = list.split(',');
  const tables = new Set(Object.values(all).map(({ table }) => table));
  const unknown = names.find((name) => !Object.hasOwn(all, name) && !tables.has(name));
  if (unknown !== undefined) throw new Error(`Unknown name "${unknown}". Choose from ${Object.keys(all).join(', ')}`);
  return Object.fromEntries(
    Object.entries(all).filter(([id, { table }]) => names.includes(id) || names.includes(table)),
  );
}

/** Groups scenarios by their sections. */
export function sectionsOf(chosen) {
  const sections = {};
  for (const [id, scenario] of Object.entries(chosen)) {
    const name = scenario.section ?? scenario.server ?? IN_PROCESS;
    sections[name] = { ...sections[name], [id]: scenario };
  }
  return sections;
}
