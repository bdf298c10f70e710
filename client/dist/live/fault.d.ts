export declare class Fault extends Error {
    constructor(what: string);
}
