// Skipping one JSON value of any shape: the rest of a request that a guest does not ask for.
#pragma once
#include "json.h"

// json_skip_string passes over a string without decoding it. The host has made it well-formed UTF-8.
static CALL bool json_skip_string(struct json *j) {
  if (!json_take(j, '"')) return false;
  j->i = json_quote(j->p, j->i, j->n);
  if (j->i >= j->n) return json_fail(j, P_SYNTAX);
  j->i++;
  return true;
}

// json_skip_plain passes over a number or a word.
static CALL bool json_skip_plain(struct json *j) {
  u32 start = j->i;
  while (j->i < j->n) {
    u8 c = j->p[j->i];
    if (!((u8)((c | 0x20) - 'a') < 26 || (u8)(c - '0') < 10 || c == '-' || c == '+' || c == '.')) break;
    j->i++;
  }
  return j->i > start ? true : json_fail(j, P_SYNTAX);
}

// json_skip passes over one value at most `depth` arrays and objects deep, without recursion: one bit a level says
// which of the two it is.
static bool json_skip(struct json *j, u32 depth) {
  u32 level = 0, objects = 0;
  for (;;) {
    u8 c = json_peek(j);
    bool opened = c == '{' || c == '[';
    if (opened) {
      if (level == depth) return json_fail(j, P_TOO_LARGE);
      objects = objects << 1 | (c == '{');
      level++;
      j->i++;
    } else if (!(c == '"' ? json_skip_string(j) : json_skip_plain(j))) {
      return false;
    }
    for (;;) {
      if (level == 0) return true;
      c = json_peek(j);
      if (c == (objects & 1 ? '}' : ']')) {
        objects >>= 1;
        level--;
        j->i++;
        opened = false;
        continue;
      }
      if (!opened && !json_take(j, ',')) return false;
      break;
    }
    str name;
    if (objects & 1 && !json_name(j, &name)) return false;
  }
}
