import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { DefaultTheme } from 'vitepress';
import { pagePath, root } from './page-paths.js';

/** The guides that are not in the section `Guides`. A new guide appears there by itself. */
const ENGINES = [
  'choosing-an-engine',
  'memory',
  'on-postgresql',
  'transactions',
  'transactional-outbox',
  'on-redis',
  'from-memory-to-redis',
  'on-nats',
  'on-rabbitmq',
];
const WRITE_AN_ENGINE = ['writing-a-backend'];
const isComingFrom = (name: string) => name.startsWith('coming-from-');

/** The order of the section `Guides`. Guides that are not listed follow. */
const READING_ORDER = [
  'delivery-guarantees',
  'retries-and-dead-letters',
  'ordering',
  'operators',
  'bridge',
  'graceful-shutdown',
  'testing',
  'configuration',
  'schemas',
  'observability',
  'operations',
  'from-the-shell',
  'writing-an-interceptor',
];

function names(folder: string, extension = '.md'): string[] {
  return readdirSync(path.join(root, folder))
    .filter((name) => name.endsWith(extension) && name !== 'README.md')
    .map((name) => name.slice(0, -extension.length))
    .sort();
}

/** Returns the entry of a page, named by its first heading. */
function entry(file: string): DefaultTheme.SidebarItem {
  const heading = /^# (.+)$/m.exec(readFileSync(path.join(root, file), 'utf8'))?.[1];
  if (heading === undefined) throw new Error(`${file} needs a heading: the sidebar shows it`);
  return { text: heading.replaceAll('`', ''), link: `/${pagePath(file)?.replace(/(index)?\.md$/, '')}` };
}

function rank(name: string): number {
  const index = READING_ORDER.indexOf(name);
  return index === -1 ? READING_ORDER.length : index;
}

/** The sidebar of the API, which TypeDoc writes. */
function api(): DefaultTheme.SidebarItem[] {
  const file = path.join(root, 'site/api/typedoc-sidebar.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
}

/** Builds the sidebar from the files that there are. */
export function sidebar(): DefaultTheme.SidebarItem[] {
  const guides = names('docs/guides');
  const isGuide = (name: string) => ![...ENGINES, ...WRITE_AN_ENGINE].includes(name) && !isComingFrom(name);
  const guide = (name: string) => entry(`docs/guides/${name}.md`);
  const source = (name: string) => ({ text: `${name}.ts`, link: `/source/examples/${name}` });
  return [
    {
      text: 'Start',
      items: [
        { text: 'Playground', link: '/playground' },
        { text: 'Read this first', link: '/start' },
        { text: 'All guides', link: '/guides/' },
      ],
    },
    {
      text: 'Guides',
      items: guides
        .filter(isGuide)
        .sort((a, b) => rank(a) - rank(b))
        .map(guide),
    },
    { text: 'Engines', items: ENGINES.filter((name) => guides.includes(name)).map(guide) },
    { text: 'Coming from …', items: guides.filter(isComingFrom).map(guide) },
    { text: 'Write an engine', items: [...WRITE_AN_ENGINE.map(guide), source('third-party-backend')] },
    { text: 'API', collapsed: true, link: '/api/', items: api() },
    {
      text: 'Internals',
      collapsed: true,
      items: [
        { text: 'Benchmarks', link: '/benchmarks' },
        {
          text: 'Decisions',
          link: '/decisions/',
          collapsed: true,
          items: names('docs/decisions').map((name) => entry(`docs/decisions/${name}.md`)),
        },
        { text: 'Complete programs', collapsed: true, items: names('examples', '.ts').map(source) },
        { text: 'Changelog', link: '/changelog' },
        { text: 'Contributing', link: '/contributing' },
        { text: 'This site', link: '/site' },
      ],
    },
  ];
}
