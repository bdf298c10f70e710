// A component whose query follows a ref.

import { createApp, defineComponent, h, ref } from "vue";
import { useQuery } from "tidebase/vue";
import { db, told, type Todo } from "./db.js";

const done = ref<number | undefined>(0);
const lists = ref(2);
const other = ref(0);
told("state", (state) => {
  if ("done" in state) done.value = state.done;
  if ("lists" in state) lists.value = state.lists;
  if ("other" in state) other.value = state.other;
});

const List = defineComponent({
  props: { name: String },
  setup({ name }) {
    const todos = useQuery(() => {
      void other.value;
      return done.value === undefined ? null : db.sql<Todo>`SELECT title FROM todo WHERE done = ${done.value} ORDER BY title`;
    });
    return () => {
      const { rows, error, isLoading } = todos.value;
      return h("p", { id: name }, error ? error.message : isLoading ? "loading" : (rows?.map(({ title }) => title).join(", ") ?? "nothing"));
    };
  },
});

Object.assign(globalThis, { db });
createApp(() => [
  ...Array.from({ length: lists.value }, (_, index) => h(List, { key: index, name: `list${index}` })),
  h("p", { id: "other" }, other.value),
]).mount("#app");
