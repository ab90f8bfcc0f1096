import { onBeforeUnmount, onMounted, type Ref, ref } from 'vue';

/** Whether the reader prefers no movement. False on the server. */
export function useReducedMotion(): Ref<boolean> {
  const reduced = ref(false);
  let query: MediaQueryList | undefined;
  const update = () => {
    reduced.value = query?.matches === true;
  };
  onMounted(() => {
    query = window.matchMedia('(prefers-reduced-motion: reduce)');
    query.addEventListener('change', update);
    update();
  });
  onBeforeUnmount(() => query?.removeEventListener('change', update));
  return reduced;
}
