// When a rule of `attributes` holds. Conditions answer yes, no or unknown: unknown is for what every request has and
// this one does not tell in a form that can be judged. An absent label or claim is not unknown: it is not there, so a
// condition on it does not hold.
#pragma once
#include "attributes_rule.h"
#include "flat1.h"

enum tri { NO, YES, UNKNOWN };

// facts is what the rules judge. `bad` is set once an offset of the request proves wrong; the answer is void then.
struct facts {
  struct request r;
  str path, trust, source_ip;
  u32 action;
  struct net ip;
  enum tri ip_known;  // NO until asked for, then YES or UNKNOWN
  bool bad;
};

static inline enum tri tri(bool b) { return b ? YES : NO; }

static bool facts_open(struct facts *f, u32 ptr, u32 len) {
  str action;
  *f = (struct facts){0};
  if (!request_open(&f->r, ptr, len)) return false;
  if (!request_slot(&f->r, SLOT_ACTION, &action) || !request_slot(&f->r, SLOT_PATH, &f->path)) return false;
  if (!request_slot(&f->r, SLOT_TRUST, &f->trust) || !request_slot(&f->r, SLOT_SOURCE_IP, &f->source_ip)) return false;
  f->action = action_code(action);
  return f->action != NO_ACTION && path_valid(f->path);
}

static bool facts_label(struct facts *f, str name, str *value) {
  bool found;
  if (!request_pair(&f->r, f->r.labels, f->r.nlabels, name, value, &found)) f->bad = true;
  return found && !f->bad;
}

static bool facts_claim(struct facts *f, str name, str *value) {
  bool found;
  if (!request_pair(&f->r, f->r.claims, f->r.nclaims, name, value, &found)) f->bad = true;
  return found && !f->bad;
}

static enum tri match_path(struct facts *f, struct list patterns) {
  for (u32 i = 0; i < patterns.n; i++)
    if (pattern_match(patterns.v[i], f->path)) return YES;
  return NO;
}

static enum tri match_environment(struct facts *f, struct list values) {
  str v;
  return tri(facts_label(f, LIT("environment"), &v) && list_has(values, v));
}

// match_class judges the label against the levels in `bits`. A level that does not exist is a mistake in the
// configuration, which could hide a restricted secret: unknown.
static enum tri match_class(struct facts *f, u32 bits) {
  str v;
  if (!facts_label(f, LIT("classification"), &v)) return NO;
  u32 level = class_code(v);
  return level == NO_CLASS ? UNKNOWN : tri(bits >> level & 1);
}

static enum tri match_named(struct facts *f, bool labels, const struct named *want, u32 n) {
  for (u32 i = 0; i < n; i++) {
    str v;
    if (!(labels ? facts_label(f, want[i].name, &v) : facts_claim(f, want[i].name, &v))) return NO;
    if (!list_has(want[i].values, v)) return NO;
  }
  return YES;
}

static enum tri match_networks(struct facts *f, const struct net *nets, u32 n) {
  if (f->ip_known == NO) f->ip_known = ip_parse(f->source_ip, &f->ip) ? YES : UNKNOWN;
  if (f->ip_known == UNKNOWN) return UNKNOWN;
  for (u32 i = 0; i < n; i++)
    if (net_contains(&nets[i], &f->ip)) return YES;
  return NO;
}

static enum tri match_time(struct facts *f, const struct window *w) {
  // From 1970 to 9999: beyond lies no clock that was ever set, and no overflow below.
  if (f->r.now_ms <= 0 || f->r.now_ms > 253402300799999) return UNKNOWN;
  i64 minutes = f->r.now_ms / 60000 + w->offset + 7 * 1440;  // a week later, so that it is not negative
  u32 minute = (u32)(minutes % 1440);
  u32 day = (u32)((minutes / 1440 + 3) % 7);  // 1 January 1970 was a Thursday
  u32 yesterday = (day + 6) % 7;
  if (w->from < w->to) return tri(w->days >> day & 1 && minute >= w->from && minute < w->to);
  return tri((w->days >> day & 1 && minute >= w->from) || (w->days >> yesterday & 1 && minute < w->to));
}

static CALL enum tri match_one(struct facts *f, const struct cond *c, enum condition which) {
  switch (which) {
    case C_ACTION: return tri(c->actions >> f->action & 1);
    case C_PATH: return match_path(f, c->path);
    case C_ENVIRONMENT: return match_environment(f, c->environment);
    case C_CLASSIFICATION: return match_class(f, c->classes);
    case C_MAX_CLASSIFICATION: return match_class(f, (2u << c->max_class) - 1);
    case C_MIN_CLASSIFICATION: return match_class(f, 0xfu << c->min_class);
    case C_TRUST: return tri(list_has(c->trust, f->trust));
    case C_CLAIMS: return match_named(f, false, c->claims, c->nclaims);
    case C_LABELS: return match_named(f, true, c->labels, c->nlabels);
    case C_NETWORKS: return match_networks(f, c->networks, c->nnetworks);
    case C_TIME: return match_time(f, &c->time);
    case CONDITIONS: break;
  }
  return UNKNOWN;
}

// match_cond is the conjunction: one no decides; otherwise one unknown makes all of it unknown.
static CALL enum tri match_cond(struct facts *f, const struct cond *c) {
  enum tri all = YES;
  for (u32 left = c->set; left; left &= left - 1) {
    enum tri t = match_one(f, c, (enum condition)__builtin_ctz(left));
    if (t == NO) return NO;
    if (t == UNKNOWN) all = UNKNOWN;
  }
  return all;
}

// match_rule is `when` and not `unless`.
static enum tri match_rule(struct facts *f, const struct rule *r) {
  enum tri when = match_cond(f, &r->when);
  if (when == NO || r->unless.set == 0) return when;
  enum tri unless = match_cond(f, &r->unless);
  if (unless == YES) return NO;
  return unless == UNKNOWN ? UNKNOWN : when;
}
