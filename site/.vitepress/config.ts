import path from 'node:path';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitepress';
import { marblesPlugin } from '../build/marbles.js';
import { linksPlugin, picturePlugin, rowAnchorsPlugin } from '../build/markdown.js';
import { pagePath, root } from '../build/page-paths.js';
import { sidebar } from '../build/sidebar.js';

/** Most pages are outside of the site's folder, where no Vue is installed. */
const vueOfTheSite: Plugin = {
  name: 'vue-of-the-site',
  enforce: 'pre',
  resolveId(source, importer, { ssr }) {
    if (!/^vue(\/server-renderer)?$/.test(source)) return null;
    // The build renders the pages in Node.js, which finds Vue by itself.
    if (ssr) return { id: source, external: true };
    return importer?.includes('node_modules') ? null : this.resolve(source, import.meta.filename, { skipSelf: true });
  },
};

const base = process.env.SITE_BASE ?? '/';
if (!/^\/(.*\/)?$/.test(base)) throw new Error(`SITE_BASE must start and end with a slash, got "${base}"`);

/** The address of the repository, for edit links. Without it they lead to a page that says what to edit. */
const repository = process.env.SITE_REPOSITORY;

export default defineConfig({
  title: 'Sluice',
  description: 'A reactive message queue for TypeScript, built on RxJS',
  lang: 'en',
  base,
  srcDir: '..',
  outDir: '.vitepress/dist',
  cacheDir: '.vitepress/cache',
  srcExclude: ['{.*,bench,coverage,examples,scripts,spec,src}/**', 'site/{build,playground,picture,spec}/**'],
  rewrites: (file) => pagePath(file) ?? file,
  head: [['link', { rel: 'icon', type: 'image/svg+xml', href: `${base}logo.svg` }]],
  markdown: {
    theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
    config(md) {
      md.use(linksPlugin).use(picturePlugin).use(marblesPlugin).use(rowAnchorsPlugin);
    },
  },
  transformPageData({ filePath }) {
    // Nothing to edit: these are generated.
    const isGenerated = filePath.startsWith('site/api/') || filePath.startsWith('site/pages/source/');
    return isGenerated ? { frontmatter: { editLink: false } } : undefined;
  },
  vite: {
    plugins: [vueOfTheSite],
    publicDir: path.join(root, 'site/static'),
    // Found at the start: a package that is found later reloads the page.
    optimizeDeps: { entries: ['site/{picture,playground}/*.{ts,vue}'] },
    server: { watch: { ignored: ['**/dist/**', '**/coverage/**', '**/.ci/**'] } },
    build: { chunkSizeWarningLimit: 2_000 },
  },
  themeConfig: {
    logo: '/logo.svg',
    nav: [
      { text: 'Start', link: '/start' },
      { text: 'Guides', link: '/guides/', activeMatch: '^/guides/' },
      { text: 'API', link: '/api/', activeMatch: '^/api/' },
      { text: 'Playground', link: '/playground' },
    ],
    sidebar: sidebar(),
    outline: { level: [2, 3] },
    search: { provider: 'local' },
    editLink: {
      pattern: repository === undefined ? '/site.html#edit-a-page' : `${repository}/edit/main/:path`,
      text: 'Edit this page',
    },
    footer: { message: 'Released under the MIT License.' },
  },
});
