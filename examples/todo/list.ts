// Rows as a list on the screen, by their ids: a row that is the same object as before is not touched.

export interface Todo {
  id: string;
  title: string;
  done: number;
}

/** More at once are another list, not changes of this one. */
const WASHED_MAX = 50;
const isCalm = matchMedia("(prefers-reduced-motion: reduce)");

export class List {
  #shown = new Map<unknown, { row?: Todo; item: HTMLElement }>();
  #waiting = new Set<unknown>();
  #count: Element;

  constructor(readonly element: HTMLElement) {
    this.#count = element.previousElementSibling!.querySelector("output")!;
  }

  show(rows: readonly Todo[]): void {
    const isFirst = this.#shown.size === 0;
    const ids = new Set<unknown>(rows.map(({ id }) => id));
    for (const [id, { item }] of this.#shown) if (!ids.has(id)) item.remove(), this.#shown.delete(id);
    const changed = rows.filter((row) => this.row(row.id) !== row).map((row) => this.#fill(row));
    let next = this.element.firstElementChild;
    for (const { id } of rows) {
      const { item } = this.#shown.get(id)!;
      if (item === next) next = next.nextElementSibling;
      else this.element.insertBefore(item, next);
    }
    this.#count.textContent = String(rows.length);
    if (isFirst || isCalm.matches || changed.length > WASHED_MAX) return;
    for (const item of changed) item.animate([{ background: "var(--wash)" }, {}], 600);
  }

  row(id: unknown): Todo | undefined {
    return this.#shown.get(id)?.row;
  }

  /** Those that the server has not got yet. */
  mark(waiting: Set<unknown>): void {
    for (const id of [...this.#waiting, ...waiting]) this.#shown.get(id)?.item.classList.toggle("waits", waiting.has(id));
    this.#waiting = waiting;
  }

  /** Titles are text, whatever is in them. What somebody is writing is left alone. */
  #fill(row: Todo): HTMLElement {
    const { item } = this.#shown.get(row.id) ?? { item: document.querySelector<HTMLTemplateElement>("#row")!.content.firstElementChild!.cloneNode(true) as HTMLElement };
    const [box, title, remove] = item.children as unknown as [HTMLInputElement, HTMLElement, HTMLElement];
    this.#shown.set(row.id, { row, item });
    item.dataset.id = row.id;
    box.checked = row.done !== 0;
    box.ariaLabel = `Done: ${row.title}`;
    remove.ariaLabel = `Delete ${row.title}`;
    if (title !== document.activeElement) title.textContent = row.title;
    return item;
  }
}
