import type { Theme } from 'vitepress';
import DefaultTheme from 'vitepress/theme';
import { defineAsyncComponent, h } from 'vue';
import Hero from './hero.md';
import './marbles.css';
import './style.css';

export default {
  extends: DefaultTheme,
  Layout: () =>
    h(DefaultTheme.Layout, null, { 'home-hero-image': () => h('div', { class: 'hero-program vp-doc' }, h(Hero)) }),
  enhanceApp({ app }) {
    // Loaded where they are used: the editor and the sandbox are large.
    app.component(
      'ExamplePicture',
      defineAsyncComponent(() => import('../../picture/ExamplePicture.vue')),
    );
    app.component(
      'Playground',
      defineAsyncComponent(() => import('../../playground/CodePlayground.vue')),
    );
  },
} satisfies Theme;
