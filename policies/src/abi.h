// The native policy ABI, version 1, as a freestanding guest sees it: integer types, byte strings, the result word and
// the request buffer. Guests are one translation unit each; everything here is static.
//
// Laws of every guest: no import, no start function, no recursion, no allocation that grows memory; a request is
// hostile until every offset in it has been checked; whatever is not understood is denied.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;
typedef long long i64;
typedef u8 bool;
enum { false = 0, true = 1 };

#define EXPORT(name) __attribute__((export_name(name)))

// CALL keeps a function a call. Fuel is charged for the whole body of a loop at each pass, inlined calls included, whether
// the pass reaches them or not.
#define CALL __attribute__((noinline))

// str is a byte string that somebody else owns.
typedef struct {
  const u8 *p;
  u32 n;
} str;

#define LIT(s) ((str){(const u8 *)(s), sizeof(s) - 1})
#define LIT_INIT(s) {(const u8 *)(s), sizeof(s) - 1}

static inline bool str_eq(str a, str b) {
  if (a.n != b.n) return false;
  for (u32 i = 0; i < a.n; i++)
    if (a.p[i] != b.p[i]) return false;
  return true;
}

// Effects: bits 0-7 of the result.
enum effect { DENY = 0, ALLOW = 1, ABSTAIN = 2, REQUIRE_APPROVAL = 3 };

// Bits above the rule code, which is bits 8-23.
#define RESULT_DETAIL (1ull << 24)
#define RESULT_CACHEABLE (1ull << 25)

static inline u64 result(enum effect e, u32 rule) { return (u64)e | (u64)rule << 8; }

// The host writes requests of at most 64 KiB; one buffer serves them all, and static data before them.
enum { BUFFER_BYTES = 64 << 10 };
static u8 buffer[BUFFER_BYTES] __attribute__((aligned(16)));

EXPORT("policy_abi_version") i32 policy_abi_version(void) { return 1; }

EXPORT("policy_buffer") u32 policy_buffer(u32 size) { return size <= BUFFER_BYTES ? (u32)buffer : 0; }

// in_buffer reports whether the host handed back the buffer it was given, with a length that it holds.
static inline bool in_buffer(u32 ptr, u32 len) { return ptr == (u32)buffer && len <= BUFFER_BYTES; }
