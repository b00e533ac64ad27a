// The flat1 encoding of a request: a 40-byte header, tables of {u32 offset, u32 length}, then bytes. Little-endian, as
// WebAssembly is. Offsets count from the first byte of the request.
#pragma once
#include "abi.h"

// Slots, in their fixed order. New ones are only ever appended, so a guest asks for no slot beyond those it knows.
enum slot {
  SLOT_ACTION = 0,
  SLOT_PATH = 1,
  SLOT_TRUST = 4,
  SLOT_SOURCE_IP = 9,
};

enum { FLAT1_MAGIC = 0x3152504b, FLAT1_HEADER = 40 };  // "KPR1"

// request is a checked view of the buffer: its tables lie inside it. The strings that they name are checked one by one.
struct request {
  const u8 *base;
  u32 len;
  i64 now_ms;
  u32 nslots, nscopes, nclaims, nlabels;
  u32 scopes, claims, labels;  // offsets of the tables; the slots follow the header
};

static inline u32 load32(const u8 *p) {
  u32 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

static inline i64 load64(const u8 *p) {
  i64 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

static bool request_open(struct request *r, u32 ptr, u32 len) {
  if (!in_buffer(ptr, len) || len < FLAT1_HEADER) return false;
  const u8 *b = buffer;
  if (load32(b) != FLAT1_MAGIC || load32(b + 4) != len) return false;
  r->base = b;
  r->len = len;
  r->now_ms = load64(b + 8);
  r->nslots = load32(b + 24);
  r->nscopes = load32(b + 28);
  r->nclaims = load32(b + 32);
  r->nlabels = load32(b + 36);
  // 64 bits: four counts of 2^32-1 must not wrap round to a small sum.
  u64 scopes = FLAT1_HEADER + 8ull * r->nslots;
  u64 claims = scopes + 8ull * r->nscopes;
  u64 labels = claims + 16ull * r->nclaims;
  if (labels + 16ull * r->nlabels > len) return false;
  r->scopes = (u32)scopes;
  r->claims = (u32)claims;
  r->labels = (u32)labels;
  return true;
}

// request_entry reads the string whose table entry is at offset `entry`, which the caller took from a checked table.
static inline bool request_entry(const struct request *r, u32 entry, str *out) {
  u32 off = load32(r->base + entry), n = load32(r->base + entry + 4);
  if (off > r->len || n > r->len - off) return false;
  *out = (str){r->base + off, n};
  return true;
}

static inline bool request_slot(const struct request *r, enum slot s, str *out) {
  return (u32)s < r->nslots && request_entry(r, FLAT1_HEADER + 8 * (u32)s, out);
}

// request_pair finds name among n key and value pairs. It answers false only for a bad offset; *found says the rest. It
// does not rely on the order of the pairs.
static inline bool request_pair(const struct request *r, u32 table, u32 n, str name, str *value, bool *found) {
  *found = false;
  for (u32 i = 0; i < n; i++) {
    str key;
    if (!request_entry(r, table + 16 * i, &key)) return false;
    if (!str_eq(key, name)) continue;
    *found = true;
    return request_entry(r, table + 16 * i + 8, value);
  }
  return true;
}
