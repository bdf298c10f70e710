// Rows as a list on the screen, by their ids: a row that is the same object as before is not touched.

export type Todo = { id: string; title: string; done: number };

/** So many are on the screen until somebody asks for more. */
const STEP = 200;

/** A new element as a template of the page has it. */
export const copy = (id: string) =>
  document.querySelector<HTMLTemplateElement>(`template#${id}`)!.content.firstElementChild!.cloneNode(true) as HTMLElement;

export class List {
  #shown = new Map<unknown, { row: Todo; item: HTMLElement }>();
  #most = STEP;

  constructor(readonly element: HTMLElement) {}

  /** @param waiting ids of those that the server has not got yet */
  show(all: readonly Todo[] = [], waiting = new Set<unknown>()): void {
    const [section, rows] = [this.element.parentElement!, all.slice(0, this.#most)];
    section.querySelector("output")!.textContent = String(all.length);
    const more = section.querySelector<HTMLButtonElement>("section > button")!;
    more.hidden = rows.length === all.length;
    more.onclick = () => ((this.#most += STEP), this.show(all, waiting));
    const isFirst = this.#shown.size === 0;
    const ids = new Set<unknown>(rows.map(({ id }) => id));
    for (const [id, { item }] of this.#shown) if (!ids.has(id)) item.remove(), this.#shown.delete(id);
    const changed = rows.filter((row) => this.row(row.id) !== row).map((row) => this.#fill(row));
    let next = this.element.firstElementChild;
    for (const { id } of rows) {
      const { item } = this.#shown.get(id)!;
      item.classList.toggle("waits", waiting.has(id));
      if (item === next) next = next.nextElementSibling;
      else this.element.insertBefore(item, next);
    }
    if (isFirst || matchMedia("(prefers-reduced-motion: reduce)").matches || changed.length >= STEP) return;
    for (const item of changed) item.animate([{ background: "var(--wash)" }, {}], 600);
  }

  row(id: unknown): Todo | undefined {
    return this.#shown.get(id)?.row;
  }

  /** Titles are text, whatever is in them. What somebody is writing is left alone. */
  #fill(row: Todo): HTMLElement {
    const item = this.#shown.get(row.id)?.item ?? copy("row");
    const [box, title, remove] = item.children as unknown as [HTMLInputElement, HTMLTextAreaElement, HTMLElement];
    this.#shown.set(row.id, { row, item });
    item.dataset.id = row.id;
    box.checked = row.done !== 0;
    box.ariaLabel = `Done: ${row.title}`;
    remove.ariaLabel = `Delete ${row.title}`;
    title.defaultValue = row.title;
    if (title !== document.activeElement) title.value = row.title;
    return item;
  }
}
