export declare class Timers<Name extends string> {
    #private;
    readonly fire: (name: Name) => void;
    constructor(fire: (name: Name) => void);
    set(name: Name, milliseconds: number): void;
    clear(name: Name): void;
    clearAll(): void;
}
