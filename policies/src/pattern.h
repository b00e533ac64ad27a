// Paths, and the one pattern language over them: segments joined by "/"; a segment is literal, optionally ending in one
// "*"; "**" may stand last and, in configuration, first.
#pragma once
#include "abi.h"

enum { MAX_PATH_SEGMENTS = 16, MAX_PATH_BYTES = 512, MAX_SEGMENT_BYTES = 128 };

// The closed set of actions. The code of an action is its place here; NO_ACTION is none of them.
enum { NO_ACTION = 6 };

static u32 action_code(str a) {
  if (str_eq(a, LIT("read"))) return 0;
  if (str_eq(a, LIT("list"))) return 1;
  if (str_eq(a, LIT("write"))) return 2;
  if (str_eq(a, LIT("invalidate"))) return 3;
  if (str_eq(a, LIT("revoke"))) return 4;
  if (str_eq(a, LIT("approve"))) return 5;
  return NO_ACTION;
}

// segment_byte reports whether c is of the path alphabet, A-Z a-z 0-9 . _ -, one bit a byte.
static inline bool segment_byte(u8 c) {
  static const u32 alphabet[8] = {0, 0x03ff6000, 0x87fffffe, 0x07fffffe};
  return alphabet[c >> 5] >> (c & 31) & 1;
}

static inline bool segment_ok(const u8 *p, u32 n) {
  if (n == 0 || n > MAX_SEGMENT_BYTES) return false;
  return !(p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.')));
}

static bool path_valid(str s) {
  if (s.n > MAX_PATH_BYTES) return false;
  for (u32 i = 0, segments = 1; segments <= MAX_PATH_SEGMENTS; segments++) {
    u32 start = i;
    while (i < s.n && segment_byte(s.p[i])) i++;
    if (!segment_ok(s.p + start, i - start)) return false;
    if (i == s.n) return true;
    if (s.p[i++] != '/') return false;
  }
  return false;
}

// pattern_valid holds s against the grammar; `config` lets "**" stand first as well.
static CALL bool pattern_valid(str s, bool config) {
  if (s.n > MAX_PATH_BYTES) return false;
  for (u32 i = 0, segments = 1; segments <= MAX_PATH_SEGMENTS; segments++) {
    u32 start = i;
    while (i < s.n && segment_byte(s.p[i])) i++;
    u32 literal = i - start;
    while (i < s.n && s.p[i] == '*') i++;
    u32 stars = i - start - literal;
    bool last = i == s.n;
    if (literal == 0 && stars == 2) {
      if (!last && !(config && segments == 1)) return false;
    } else if (stars > 1 || !segment_ok(s.p + start, i - start)) {
      return false;
    }
    if (last) return true;
    if (s.p[i++] != '/') return false;
  }
  return false;
}

// match_from matches a pattern without a leading "**" against a valid path; it reads inside both whatever they hold. A
// path has no star, so a literal run ends at one. The loops are tight because every pass of them is paid for.
static CALL bool match_from(str pat, str path) {
  u32 i = 0, j = 0;
  for (;;) {
    while (i < pat.n && j < path.n && pat.p[i] == path.p[j]) i++, j++;
    if (i == pat.n) return j == path.n;
    if (pat.p[i] != '*') return false;
    if (i + 2 == pat.n && pat.p[i + 1] == '*') return j < path.n;
    while (j < path.n && path.p[j] != '/') j++;
    i++;
  }
}

// pattern_match reports whether a valid pattern matches the whole of a valid path. A leading "**" takes one or more
// segments.
static inline CALL bool pattern_match(str pat, str path) {
  if (!(pat.n > 3 && pat.p[0] == '*' && pat.p[1] == '*' && pat.p[2] == '/')) return match_from(pat, path);
  str tail = {pat.p + 3, pat.n - 3};
  for (u32 k = 0; k < path.n; k++)
    if (path.p[k] == '/' && match_from(tail, (str){path.p + k + 1, path.n - k - 1})) return true;
  return false;
}

// scope_allows reports whether the scope "ACTION:PATTERN" covers the action on the valid path. A malformed scope covers
// nothing; only one that would match is worth validating.
static inline bool scope_allows(str scope, str action, str path) {
  if (scope.n <= action.n || scope.p[action.n] != ':') return false;
  if (!str_eq((str){scope.p, action.n}, action)) return false;
  str pat = {scope.p + action.n + 1, scope.n - action.n - 1};
  return match_from(pat, path) && pattern_valid(pat, false);
}
