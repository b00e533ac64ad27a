// A bump arena over static memory: nothing is freed, and a guest that needs more than it holds refuses its input.
#pragma once
#include "abi.h"

#ifndef ARENA_BYTES
#error "a guest says how large its arena is"
#endif

static u8 arena[ARENA_BYTES] __attribute__((aligned(16)));
static u32 arena_used;

// arena_take returns n bytes aligned for any structure here, zeroed by the loader, or 0. It is never called twice for
// the same bytes.
static void *arena_take(u32 n) {
  u32 at = (arena_used + 7) & ~7u;
  if (n > ARENA_BYTES || at > ARENA_BYTES - n) return 0;
  arena_used = at + n;
  return arena + at;
}
