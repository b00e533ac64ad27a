// A strict reader of JSON (RFC 8259) for documents of a known shape. It builds no tree: the caller asks for the value
// that it expects next. Refused: unknown and repeated names, fractions and exponents, control characters however they
// are written, lone surrogates, bytes that are not UTF-8, anything after the document.
#pragma once
#include "arena.h"

// Problems, as policy_init reports them. The numbers are part of the policy's documentation: append only.
enum problem {
  P_NONE = 0,
  P_SYNTAX = 1,     // not JSON, or not the type that belongs here
  P_UNKNOWN = 2,    // a name that this place does not have
  P_REPEATED = 3,   // the same name twice
  P_VALUE = 4,      // a value outside what its name takes
  P_MISSING = 5,    // a name that must be there
  P_TOO_LARGE = 6,  // more entries, bytes or memory than the limits allow
  P_COMBINATION = 7,  // values that make no sense together
};

struct json {
  const u8 *p;
  u32 n, i;
  enum problem problem;  // the first one
  u32 at;                // where
};

static bool json_fail_at(struct json *j, enum problem p, u32 at) {
  if (j->problem == P_NONE) {
    j->problem = p;
    j->at = at;
  }
  return false;
}

static bool json_fail(struct json *j, enum problem p) { return json_fail_at(j, p, j->i); }

static void json_space(struct json *j) {
  while (j->i < j->n) {
    u8 c = j->p[j->i];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
    j->i++;
  }
}

// json_peek returns the next byte that is not space, 0 at the end.
static u8 json_peek(struct json *j) {
  json_space(j);
  return j->i < j->n ? j->p[j->i] : 0;
}

static bool json_take(struct json *j, u8 c) {
  if (json_peek(j) != c) return json_fail(j, P_SYNTAX);
  j->i++;
  return true;
}

// json_end accepts space and nothing else.
static bool json_end(struct json *j) {
  json_space(j);
  return j->i == j->n ? true : json_fail(j, P_SYNTAX);
}

static bool json_hex4(struct json *j, u32 *out) {
  u32 v = 0;
  if (j->n - j->i < 4) return json_fail(j, P_SYNTAX);
  for (u32 k = 0; k < 4; k++) {
    u8 c = j->p[j->i++];
    u32 d;
    if ((u8)(c - '0') < 10)
      d = c - '0';
    else if ((u8)((c | 0x20) - 'a') < 6)
      d = (c | 0x20) - 'a' + 10;
    else
      return json_fail(j, P_SYNTAX);
    v = v << 4 | d;
  }
  *out = v;
  return true;
}

// json_escape reads what follows a backslash as one code point.
static CALL bool json_escape(struct json *j, u32 *cp) {
  if (j->i == j->n) return json_fail(j, P_SYNTAX);
  u8 c = j->p[j->i++];
  if (c == '"' || c == '\\' || c == '/') {
    *cp = c;
    return true;
  }
  if (c != 'u') return json_fail(j, P_SYNTAX);  // \b \f \n \r \t would be control characters
  if (!json_hex4(j, cp)) return false;
  if (*cp < 0xd800 || *cp > 0xdfff) return true;
  u32 low;
  if (*cp > 0xdbff || j->n - j->i < 2 || j->p[j->i] != '\\' || j->p[j->i + 1] != 'u') return json_fail(j, P_SYNTAX);
  j->i += 2;
  if (!json_hex4(j, &low)) return false;
  if (low < 0xdc00 || low > 0xdfff) return json_fail(j, P_SYNTAX);
  *cp = 0x10000 + ((*cp - 0xd800) << 10) + (low - 0xdc00);
  return true;
}

// json_utf8 reads one code point of RFC 3629: shortest form, no surrogates, at most U+10FFFF.
static CALL bool json_utf8(struct json *j, u32 *cp) {
  static const u32 least[5] = {0, 0, 0x80, 0x800, 0x10000};
  u8 c = j->p[j->i++];
  u32 n = c < 0x80 ? 1 : c >= 0xf0 && c < 0xf8 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc0 && c < 0xe0 ? 2 : 0;
  if (n == 0 || j->n - j->i < n - 1) return json_fail(j, P_SYNTAX);
  u32 v = n == 1 ? c : c & (0x7fu >> n);
  for (u32 k = 1; k < n; k++) {
    u8 d = j->p[j->i++];
    if ((d & 0xc0) != 0x80) return json_fail(j, P_SYNTAX);
    v = v << 6 | (d & 0x3f);
  }
  if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)) return json_fail(j, P_SYNTAX);
  *cp = v;
  return true;
}

static CALL u32 put_utf8(u8 *p, u32 cp) {
  if (cp < 0x80) {
    p[0] = (u8)cp;
    return 1;
  }
  if (cp < 0x800) {
    p[0] = (u8)(0xc0 | cp >> 6);
    p[1] = (u8)(0x80 | (cp & 0x3f));
    return 2;
  }
  if (cp < 0x10000) {
    p[0] = (u8)(0xe0 | cp >> 12);
    p[1] = (u8)(0x80 | (cp >> 6 & 0x3f));
    p[2] = (u8)(0x80 | (cp & 0x3f));
    return 3;
  }
  p[0] = (u8)(0xf0 | cp >> 18);
  p[1] = (u8)(0x80 | (cp >> 12 & 0x3f));
  p[2] = (u8)(0x80 | (cp >> 6 & 0x3f));
  p[3] = (u8)(0x80 | (cp & 0x3f));
  return 4;
}

// json_plain reports whether c stands for itself in a string: most bytes do, and skip what follows.
static inline bool json_plain(u8 c) { return (u8)(c - 0x20) < 0x5f && c != '"' && c != '\\'; }

// json_quote returns where the string that i stands in ends: at its closing quote, or at n and beyond without one.
static CALL u32 json_quote(const u8 *p, u32 i, u32 n) {
  while (i < n && p[i] != '"') i += p[i] == '\\' ? 2 : 1;
  return i;
}

// json_string decodes a string of at most `max` bytes into the arena.
static bool json_string(struct json *j, u32 max, str *out) {
  if (!json_take(j, '"')) return false;
  u32 start = j->i, stop = json_quote(j->p, start, j->n);
  if (stop >= j->n) return json_fail(j, P_SYNTAX);
  // Decoding never lengthens: the shortest escape of a code point is longer than its UTF-8.
  u8 *to = arena_take(stop - start);
  if (!to) return json_fail(j, P_TOO_LARGE);
  u32 n = 0;
  while (j->i < stop) {
    u32 cp;
    u32 i = j->i;
    while (i < stop && json_plain(j->p[i])) to[n++] = j->p[i++];
    if ((j->i = i) == stop) break;
    if (j->p[j->i] == '\\') {
      j->i++;
      if (!json_escape(j, &cp)) return false;
    } else if (!json_utf8(j, &cp)) {
      return false;
    }
    if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) return json_fail(j, P_SYNTAX);
    n += put_utf8(to + n, cp);
  }
  if (j->i != stop) return json_fail(j, P_SYNTAX);
  j->i++;
  if (n > max) return json_fail_at(j, P_TOO_LARGE, start);
  *out = (str){to, n};
  return true;
}

// json_int reads an integer of at most 9 digits.
static inline bool json_int(struct json *j, i32 *out) {
  bool minus = json_peek(j) == '-';
  u32 start = j->i, digits = 0;
  if (minus) j->i++;
  i32 v = 0;
  for (; j->i < j->n && (u8)(j->p[j->i] - '0') < 10; j->i++) {
    if (++digits > 9) return json_fail_at(j, P_VALUE, start);
    v = v * 10 + (j->p[j->i] - '0');
  }
  if (digits == 0 || (digits > 1 && j->p[j->i - digits] == '0')) return json_fail_at(j, P_SYNTAX, start);
  if (j->i < j->n && (j->p[j->i] == '.' || (j->p[j->i] | 0x20) == 'e')) return json_fail_at(j, P_VALUE, start);
  *out = minus ? -v : v;
  return true;
}

// json_more moves to the next element of an array or member of an object whose closing byte is `close`. It answers
// false at the end and on a problem.
static bool json_more(struct json *j, u8 close, bool *first) {
  u8 c = json_peek(j);
  if (c == close) {
    j->i++;
    return false;
  }
  if (!*first && !json_take(j, ',')) return false;
  *first = false;
  return true;
}

// json_name reads a name and its colon as it stands in the document: no name of ours needs an escape.
static bool json_name(struct json *j, str *name) {
  if (!json_take(j, '"')) return false;
  u32 start = j->i;
  j->i = json_quote(j->p, start, j->n);
  if (j->i >= j->n) return json_fail_at(j, P_SYNTAX, start);
  *name = (str){j->p + start, j->i - start};
  j->i++;
  return json_take(j, ':');
}

// json_field moves to the next member of an object of known names and returns the name's place in `names`; -1 at the
// end of the object or on a problem. Each name is taken once.
static inline i32 json_field(struct json *j, const str *names, u32 count, u32 *seen) {
  bool first = *seen == 0;
  str name;
  if (!json_more(j, '}', &first)) return -1;
  json_space(j);
  u32 at = j->i;
  if (!json_name(j, &name)) return -1;
  for (u32 k = 0; k < count; k++) {
    if (!str_eq(name, names[k])) continue;
    if (*seen & 1u << k) {
      json_fail_at(j, P_REPEATED, at);
      return -1;
    }
    *seen |= 1u << k;
    return (i32)k;
  }
  json_fail_at(j, P_UNKNOWN, at);
  return -1;
}
