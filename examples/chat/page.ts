// The page's elements. Strings become text, whatever stands in them: nothing reads HTML.

export const find = <Kind extends HTMLElement>(selector: string) => document.querySelector<Kind>(selector)!;

export function make(tag: string, properties: object, ...children: (Node | string)[]): HTMLElement {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Puts these into a list, and leaves alone what stands there already. */
export function fill(list: HTMLElement, items: HTMLElement[]): void {
  for (const child of [...list.children]) if (!items.includes(child as HTMLElement)) child.remove();
  items.forEach((item, at) => list.children[at] === item || list.insertBefore(item, list.children[at] ?? null));
}

export function tell(error?: Error): void {
  for (const place of document.querySelectorAll(".problem")) place.textContent = error ? `✕ ${error.message}` : "";
}
