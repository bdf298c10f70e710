// WebSocket frames as bytes (RFC 6455, section 5): what a client sends, and what it makes of what it is sent, however the
// bytes are cut. No network here: websocket.ts.

/** Larger messages end the socket with 1009. The server sends rows in pieces; a single one may have 16 MiB. */
export const MESSAGE_BYTES_MAX = 64 << 20;

const CONTINUATION = 0;
const TEXT = 1;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

export type Part =
  | { is: "text"; text: string }
  | { is: "ping"; data: Buffer }
  | { is: "close"; code: number; reason: string };

/** What the server sent breaks the rules; the socket is closed with this code. */
export class BadFrame extends Error {
  constructor(
    readonly code: 1002 | 1003 | 1007 | 1009,
    message: string,
  ) {
    super(message);
  }
}

interface Header {
  isFinal: boolean;
  kind: number;
  headBytes: number;
  bytes: number;
}

export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #header: Header | undefined;
  /** The pieces of a message that is not whole yet. */
  #pieces: Buffer[] = [];
  #pieceBytes = 0;

  constructor(readonly bytesMax = MESSAGE_BYTES_MAX) {}

  /** What has become whole with these bytes. Throws a `BadFrame` after what came before it. */
  *read(chunk: Buffer): Iterable<Part> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    for (;;) {
      const header = (this.#header ??= this.#readHeader());
      if (!header || this.#bytes < header.headBytes + header.bytes) return;
      this.#header = undefined;
      const frame = this.#take(header.headBytes + header.bytes);
      const part = this.#part(header, frame.subarray(header.headBytes));
      if (part) yield part;
    }
  }

  #readHeader(): Header | undefined {
    if (this.#bytes < 2) return undefined;
    const head = this.#peek(10);
    const [first, second] = [head[0]!, head[1]!];
    const [kind, length] = [first & 0x0f, second & 0x7f];
    if (first & 0x70) throw new BadFrame(1002, "A frame has reserved bits.");
    if (second & 0x80) throw new BadFrame(1002, "A frame of the server is masked.");
    const isFinal = (first & 0x80) !== 0;
    if (kind >= CLOSE && (length > 125 || !isFinal)) throw new BadFrame(1002, "A control frame is cut or too long.");
    const headBytes = length === 127 ? 10 : length === 126 ? 4 : 2;
    if (this.#bytes < headBytes) return undefined;
    const bytes = length === 127 ? Number(head.readBigUInt64BE(2)) : length === 126 ? head.readUInt16BE(2) : length;
    if (bytes + this.#pieceBytes > this.bytesMax) throw new BadFrame(1009, "A message is too large.");
    return { isFinal, kind, headBytes, bytes };
  }

  #part({ isFinal, kind }: Header, data: Buffer): Part | undefined {
    switch (kind) {
      case TEXT:
      case CONTINUATION:
        if ((kind === TEXT) !== (this.#pieces.length === 0)) throw new BadFrame(1002, "The pieces of a message do not fit.");
        return this.#piece(data, isFinal);
      case PING:
        return { is: "ping", data };
      case PONG:
        return undefined;
      case CLOSE:
        if (data.length === 1) throw new BadFrame(1002, "A close has half a code.");
        return { is: "close", code: data.length > 0 ? data.readUInt16BE(0) : 1005, reason: decoded(data.subarray(2)) };
      default:
        throw new BadFrame(1003, `A frame of kind ${kind} came; the server speaks text.`);
    }
  }

  #piece(data: Buffer, isFinal: boolean): Part | undefined {
    this.#pieces.push(data);
    this.#pieceBytes += data.length;
    if (!isFinal) return undefined;
    const whole = this.#pieces.length === 1 ? data : Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#pieceBytes = 0;
    return { is: "text", text: decoded(whole) };
  }

  #peek(count: number): Buffer {
    const [first] = this.#chunks;
    if (first!.length >= count || this.#chunks.length === 1) return first!;
    this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!;
  }

  /** Takes so many bytes off, and puts chunks together only when a frame is whole. */
  #take(count: number): Buffer {
    const whole = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#bytes -= count;
    this.#chunks = this.#bytes > 0 ? [whole.subarray(count)] : [];
    return whole.subarray(0, count);
  }
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decoded(data: Buffer): string {
  try {
    return UTF8.decode(data);
  } catch {
    throw new BadFrame(1007, "A text is not UTF-8.");
  }
}

/** One whole frame of a client, masked as the rules demand. */
export function encode(kind: number, data: Buffer, mask: Buffer): Buffer {
  const { length } = data;
  const extra = length > 0xffff ? 8 : length > 125 ? 2 : 0;
  const frame = Buffer.allocUnsafe(2 + extra + 4 + length);
  frame[0] = 0x80 | kind;
  frame[1] = 0x80 | (extra === 8 ? 127 : extra === 2 ? 126 : length);
  if (extra === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  if (extra === 2) frame.writeUInt16BE(length, 2);
  mask.copy(frame, 2 + extra);
  const start = 6 + extra;
  for (let at = 0; at < length; at++) frame[start + at] = data[at]! ^ mask[at & 3]!;
  return frame;
}

export const encodeText = (text: string, mask: Buffer): Buffer => encode(TEXT, Buffer.from(text), mask);

export function encodeClose(code: number, mask: Buffer): Buffer {
  const data = Buffer.alloc(2);
  data.writeUInt16BE(code);
  return encode(CLOSE, data, mask);
}
