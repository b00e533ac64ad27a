// The writer of the detail document.
#pragma once
#include "abi.h"

enum { DETAIL_BYTES = 8 << 10 };
static u8 detail[DETAIL_BYTES];

struct writer {
  u32 n;
  bool full;
};

static void put(struct writer *w, u8 c) {
  if (w->n == DETAIL_BYTES)
    w->full = true;
  else
    detail[w->n++] = c;
}

static void put_raw(struct writer *w, str s) {
  for (u32 i = 0; i < s.n; i++) put(w, s.p[i]);
}

// put_string quotes s, which is UTF-8 without control characters: the data's parser saw to that.
static void put_string(struct writer *w, str s) {
  put(w, '"');
  for (u32 i = 0; i < s.n; i++) {
    if (s.p[i] == '"' || s.p[i] == '\\') put(w, '\\');
    put(w, s.p[i]);
  }
  put(w, '"');
}

static void put_number(struct writer *w, u32 v) {
  u8 digits[10];
  u32 n = 0;
  do digits[n++] = (u8)('0' + v % 10);
  while (v /= 10);
  while (n) put(w, digits[--n]);
}
