/** Larger messages end the socket with 1009. The server sends rows in pieces; a single one may have 16 MiB. */
export declare const MESSAGE_BYTES_MAX: number;
export declare const CLOSE = 8;
export declare const PING = 9;
export declare const PONG = 10;
export type Part = {
    is: "text";
    text: string;
} | {
    is: "ping";
    data: Buffer;
} | {
    is: "close";
    code: number;
    reason: string;
};
/** What the server sent breaks the rules; the socket is closed with this code. */
export declare class BadFrame extends Error {
    readonly code: 1002 | 1003 | 1007 | 1009;
    constructor(code: 1002 | 1003 | 1007 | 1009, message: string);
}
export declare class FrameReader {
    #private;
    readonly bytesMax: number;
    constructor(bytesMax?: number);
    /** What has become whole with these bytes. Throws a `BadFrame` after what came before it. */
    read(chunk: Buffer): Iterable<Part>;
}
/** One whole frame of a client, masked as the rules demand. */
export declare function encode(kind: number, data: Buffer, mask: Buffer): Buffer;
export declare const encodeText: (text: string, mask: Buffer) => Buffer;
export declare function encodeClose(code: number, mask: Buffer): Buffer;
