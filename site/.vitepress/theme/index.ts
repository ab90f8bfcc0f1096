import type { Theme } from 'vitepress';
import DefaultTheme from 'vitepress/theme';
import { defineAsyncComponent } from 'vue';
import './style.css';

export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component(
      'ExamplePicture',
      defineAsyncComponent(() => import('../../picture/ExamplePicture.vue')),
    );
    app.component(
      'Playground',
      defineAsyncComponent(() => import('../../playground/Playground.vue')),
    );
  },
} satisfies Theme;
