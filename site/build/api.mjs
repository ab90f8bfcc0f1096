/**
 * Writes the pages of the API into `site/api`, a directory for each entry that `exports` of
 * package.json promises, and the sidebar of all. Any warning of TypeDoc fails the build.
 *
 * `node site/build/api.mjs FOLDER` writes them into another folder.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Application, Converter, ReflectionKind, TSConfigReader, TypeDocReader } from 'typedoc';
import { MarkdownPageEvent } from 'typedoc-plugin-markdown';

const site = fileURLToPath(new URL('..', import.meta.url));
const root = path.join(site, '..');
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

/** The sources of the entries, by the names that programs import. */
const entries = new Map(
  Object.entries(manifest.exports)
    .filter(([, target]) => typeof target === 'object')
    .map(([subpath, target]) => [
      path.posix.join(manifest.name, subpath),
      path.join(root, target.import.default.replace(/^\.\/dist\/(.+)\.js$/, 'src/$1.ts')),
    ]),
);

/** Small types that are not public: pages show what they stand for. */
const INLINED = ['CauseOptions', 'Env', 'GivenMetadata', 'Quarantined', 'Settled'];

/** The pages are generated: there is nothing to edit. */
const FRONT_MATTER = '---\neditLink: false\nlastUpdated: false\noutline: [2, 3]\n---\n\n';

const app = await Application.bootstrapWithPlugins(
  {
    options: path.join(site, 'typedoc.json'),
    entryPoints: [...entries.values()],
    pageTitleTemplates: { index: 'API', module: '{name}', member: ({ rawName }) => rawName.replace(/<.*/, '') },
    out: path.resolve(process.argv[2] ?? path.join(site, 'api')),
  },
  [new TypeDocReader(), new TSConfigReader()],
);

app.converter.on(Converter.EVENT_BEGIN, (context) => {
  for (const name of INLINED) context.inlineType.add(name);
});

/** Names the modules as programs import them. TypeDoc takes the names of their files. */
app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (context) => {
  const sourcesOf = (module) => context.getSymbolFromReflection(module)?.declarations ?? [];
  for (const [name, source] of entries) {
    const module = context.project.children?.find((child) =>
      sourcesOf(child).some(({ fileName }) => path.resolve(fileName) === source),
    );
    if (module === undefined) throw new Error(`Expected TypeDoc to document ${source}, the entry ${name}`);
    module.name = name;
  }
});

/** A type such as `(typeof POLICIES)[number]` names a list that is not public: shows its elements. */
app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (context) => {
  for (const reflection of context.project.getReflectionsByKind(ReflectionKind.TypeAlias)) {
    if (reflection.type?.type !== 'indexedAccess' || reflection.type.objectType.type !== 'query') continue;
    context.setActiveProgram(context.programs.find((program) => program !== undefined));
    const type = context.checker.getDeclaredTypeOfSymbol(context.getSymbolFromReflection(reflection));
    reflection.type = context.converter.convertType(context, type);
  }
});

/** Shows the types of errors, with links to those of the library. */
function showThrownTypes(project) {
  const classes = new Map(
    project.children.flatMap(({ children = [] }) => children.map((child) => [child.name, child])),
  );
  for (const { comment } of Object.values(project.reflections)) {
    for (const tag of comment?.blockTags ?? []) {
      if (tag.tag !== '@throws' || tag.typeAnnotation === undefined) continue;
      const names = tag.typeAnnotation.slice(1, -1).split('|');
      const parts = names.flatMap((name, index) => {
        const text = name.trim();
        const target = classes.get(text);
        const type = target
          ? { kind: 'inline-tag', tag: '@link', text, target, tsLinkText: text }
          : { kind: 'code', text: `\`${text}\`` };
        if (index === 0) return [type];
        return [{ kind: 'text', text: index === names.length - 1 ? ' or ' : ', ' }, type];
      });
      tag.content.unshift(...parts, { kind: 'text', text: ' ' });
    }
  }
}

/** Members of an entry are easier to find by name. Properties keep the order of their source. */
function sortMembers({ children = [] }) {
  for (const { groups = [] } of children)
    for (const group of groups) group.children.sort((a, b) => a.name.localeCompare(b.name, 'en'));
}

/** Vue would take two braces in a text for an expression. Code is safe: VitePress does not compile it. */
function escapeBraces(markdown) {
  return markdown
    .split(/(^```[\s\S]*?^```|`[^`\n]+`)/m)
    .map((part, index) => (index % 2 === 0 ? part.replaceAll('{{', '&#123;&#123;') : part))
    .join('');
}

app.renderer.on(MarkdownPageEvent.END, (page) => {
  page.contents = FRONT_MATTER + escapeBraces(page.contents);
});

/** The sidebar of VitePress: the entries, their kinds of members, and these. */
app.renderer.postRenderAsyncJobs.push(async ({ project, outputDirectory }) => {
  const linkTo = (reflection) =>
    `/api/${app.renderer.router.getFullUrl(reflection).replace(/(^|\/)index\.md$|\.md$/, '$1')}`;
  const sidebar = project.children.map((module) => ({
    text: module.name,
    link: linkTo(module),
    collapsed: module.name !== manifest.name,
    items: module.groups.map(({ title, children }) => ({
      text: title,
      collapsed: true,
      // What an entry exports again has its page where it comes from.
      items: children.map((child) => ({
        text: child.name,
        link: linkTo(child.isReference() ? child.getTargetReflectionDeep() : child),
      })),
    })),
  }));
  writeFileSync(path.join(outputDirectory, 'typedoc-sidebar.json'), JSON.stringify(sidebar));
});

const project = await app.convert();
if (project === undefined) throw new Error('TypeDoc could not read the sources');
showThrownTypes(project);
sortMembers(project);
app.validate(project);

rmSync(app.options.getValue('out'), { recursive: true, force: true });
await app.generateOutputs(project);
if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error('TypeDoc has reported warnings');
