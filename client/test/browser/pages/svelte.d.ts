// A compiled component, to the compiler of TypeScript.

declare module "*.svelte" {
  const component: import("svelte").Component;
  export default component;
}
