// What the data document of `attributes` becomes: rules in order, each with its conditions. All of it lives in the arena.
#pragma once
#include "ip.h"
#include "pattern.h"

enum {
  MAX_RULES = 128,
  MAX_LIST = 64,  // values of one condition
  MAX_NAMES = 16,  // claims or labels of one condition
  MAX_VALUE_BYTES = 512,
  MAX_REASON_BYTES = 256,
  MAX_APPROVERS = 16,
  MAX_APPROVER_BYTES = 128,
};

struct list {
  const str *v;
  u32 n;
};

// named is a claim or label and the values that it may have.
struct named {
  str name;
  struct list values;
};

// window is a daily span of minutes on some weekdays. A span whose `to` is not after `from` ends the next day and belongs
// to the day on which it began.
struct window {
  u32 days;  // bit 0 is Monday
  u32 from, to;
  i32 offset;  // minutes east of UTC
};

// The conditions, in the order of their bits in cond.set.
enum condition {
  C_ACTION,
  C_PATH,
  C_ENVIRONMENT,
  C_CLASSIFICATION,
  C_MAX_CLASSIFICATION,
  C_MIN_CLASSIFICATION,
  C_TRUST,
  C_CLAIMS,
  C_LABELS,
  C_NETWORKS,
  C_TIME,
  CONDITIONS,
};

// cond is a conjunction: every condition that is set must hold.
struct cond {
  u32 set;
  u32 actions, classes;  // bits by code
  u32 max_class, min_class;
  struct list path, environment, trust;
  const struct named *claims, *labels;
  u32 nclaims, nlabels;
  const struct net *networks;
  u32 nnetworks;
  struct window time;
};

struct rule {
  struct rule *next;
  str name, reason;
  enum effect effect;
  struct cond when, unless;  // each empty where the document has none
  bool obliges;
  struct list approvers;
  u32 n, max_ttl;  // 0: not said
};

// The levels of classification, lowest first; NO_CLASS is none of them.
enum { NO_CLASS = 4 };

static u32 class_code(str s) {
  if (str_eq(s, LIT("public"))) return 0;
  if (str_eq(s, LIT("internal"))) return 1;
  if (str_eq(s, LIT("confidential"))) return 2;
  if (str_eq(s, LIT("restricted"))) return 3;
  return NO_CLASS;
}

static bool list_has(struct list l, str s) {
  for (u32 i = 0; i < l.n; i++)
    if (str_eq(l.v[i], s)) return true;
  return false;
}
