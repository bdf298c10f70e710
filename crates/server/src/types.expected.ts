// The tables of a Tidebase database, as they were when this was written. Made by `tidebase types`; do not edit.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** What a column without a type may hold. */
export type Value = null | number | bigint | string | Uint8Array;

export interface Database {
  plain: {
    Row: {
      id: number | bigint;
      name: string;
      mood: string;
      at: number | null;
      live: number | bigint;
      price: number | bigint | string | null;
      picture: Uint8Array | null;
      extra: Json;
      loose: Value;
      twice: number | bigint | null;
    };
    Insert: {
      id?: number | bigint;
      name: string;
      mood?: string;
      at?: number | null;
      live: boolean | number | bigint;
      price?: number | bigint | string | null;
      picture?: Uint8Array | null;
      extra: Json;
      loose?: Value;
    };
    Update: {
      id?: number | bigint;
      name?: string;
      mood?: string;
      at?: number | null;
      live?: boolean | number | bigint;
      price?: number | bigint | string | null;
      picture?: Uint8Array | null;
      extra?: Json;
      loose?: Value;
    };
  };
  /** A view. */
  seen: {
    Row: {
      name: string | null;
      "how many": Value;
    };
    Insert: never;
    Update: never;
  };
  "sel\"ect */": {
    Row: {
      class: string;
      "2nd": number | bigint;
      "a\nb": string | null;
    };
    Insert: {
      class: string;
      "2nd": number | bigint;
      "a\nb"?: string | null;
    };
    Update: {
      class?: string;
      "2nd"?: number | bigint;
      "a\nb"?: string | null;
    };
  };
  words: {
    Row: {
      word: Value;
    };
    Insert: {
      word?: Value;
    };
    Update: never;
  };
}
