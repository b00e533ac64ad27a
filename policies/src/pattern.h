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

static inline bool segment_byte(u8 c) {
  return (u8)((c | 0x20) - 'a') < 26 || (u8)(c - '0') < 10 || c == '-' || c == '.' || c == '_';
}

static inline bool segment_ok(const u8 *p, u32 n) {
  if (n == 0 || n > MAX_SEGMENT_BYTES) return false;
  return !(p[0] == '.' && (n == 1 || (n == 2 && p[1] == '.')));
}

static bool path_valid(str s) {
  if (s.n > MAX_PATH_BYTES) return false;
  u32 segments = 0, start = 0;
  for (u32 i = 0; i <= s.n; i++) {
    if (i < s.n && s.p[i] != '/') {
      if (!segment_byte(s.p[i])) return false;
      continue;
    }
    if (!segment_ok(s.p + start, i - start)) return false;
    segments++;
    start = i + 1;
  }
  return segments <= MAX_PATH_SEGMENTS;
}

// pattern_valid holds s against the grammar; `config` lets "**" stand first as well.
static bool pattern_valid(str s, bool config) {
  if (s.n > MAX_PATH_BYTES) return false;
  u32 segments = 0, start = 0;
  for (u32 i = 0; i <= s.n; i++) {
    if (i < s.n && s.p[i] != '/') continue;
    const u8 *seg = s.p + start;
    u32 n = i - start;
    if (n == 2 && seg[0] == '*' && seg[1] == '*') {
      if (i < s.n && (segments > 0 || !config)) return false;
    } else {
      if (!segment_ok(seg, n)) return false;
      u32 literal = seg[n - 1] == '*' ? n - 1 : n;
      for (u32 k = 0; k < literal; k++)
        if (!segment_byte(seg[k])) return false;
    }
    segments++;
    start = i + 1;
  }
  return segments <= MAX_PATH_SEGMENTS;
}

// match_from matches without a leading "**". Both sides must be valid; it reads inside them whatever they hold.
static bool match_from(str pat, str path) {
  u32 i = 0, j = 0;
  while (i < pat.n) {
    u8 c = pat.p[i];
    if (c != '*') {
      if (j == path.n || path.p[j] != c) return false;
      i++, j++;
      continue;
    }
    if (i + 2 == pat.n && pat.p[i + 1] == '*') return true;
    while (j < path.n && path.p[j] != '/') j++;
    i++;
  }
  return j == path.n;
}

// pattern_match reports whether a valid pattern matches the whole of a valid path. A leading "**" takes one or more
// segments.
static inline bool pattern_match(str pat, str path) {
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
