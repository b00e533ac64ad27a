// The parser of the data document of `attributes`. Whatever it does not know refuses the whole document: a mistyped
// condition must never be a condition less.
#pragma once
#include "attributes_rule.h"
#include "json.h"

// document is the parsed data; `rules` in document order.
struct document {
  struct rule *rules;
  enum effect fallback;
};

// parse_list reads a list of 1 to `max` non-empty strings.
static bool parse_list(struct json *j, u32 max, u32 bytes, struct list *out) {
  str v[MAX_LIST];
  u32 n = 0;
  bool first = true;
  json_space(j);
  u32 start = j->i;
  if (!json_take(j, '[')) return false;
  while (json_more(j, ']', &first)) {
    if (n == max) return json_fail(j, P_TOO_LARGE);
    json_space(j);
    u32 at = j->i;
    if (!json_string(j, bytes, &v[n])) return false;
    if (v[n].n == 0) return json_fail_at(j, P_VALUE, at);
    n++;
  }
  if (j->problem) return false;
  if (n == 0) return json_fail_at(j, P_VALUE, start);
  str *to = arena_take(n * sizeof(str));
  if (!to) return json_fail(j, P_TOO_LARGE);
  __builtin_memcpy(to, v, n * sizeof(str));
  *out = (struct list){to, n};
  return true;
}

// Words that conditions take from a closed set, and how many bits each set has.
enum words { ACTIONS = NO_ACTION, CLASSES = NO_CLASS, DAYS = 7 };

static u32 day_code(str s) {
  static const char names[] = "montuewedthufrisatsun";
  for (u32 d = 0; d < DAYS; d++)
    if (str_eq(s, (str){(const u8 *)names + 3 * d, 3})) return d;
  return DAYS;
}

// parse_words reads a list of words of one set into bits.
static bool parse_words(struct json *j, enum words set, u32 *bits) {
  struct list l;
  json_space(j);
  u32 start = j->i;
  if (!parse_list(j, MAX_LIST, MAX_VALUE_BYTES, &l)) return false;
  for (u32 i = 0; i < l.n; i++) {
    u32 c = set == ACTIONS ? action_code(l.v[i]) : set == CLASSES ? class_code(l.v[i]) : day_code(l.v[i]);
    if (c >= (u32)set) return json_fail_at(j, P_VALUE, start);
    *bits |= 1u << c;
  }
  return true;
}

static bool parse_patterns(struct json *j, struct list *out) {
  json_space(j);
  u32 start = j->i;
  if (!parse_list(j, MAX_LIST, MAX_PATH_BYTES, out)) return false;
  for (u32 i = 0; i < out->n; i++)
    if (!pattern_valid(out->v[i], true)) return json_fail_at(j, P_VALUE, start);
  return true;
}

static bool parse_class(struct json *j, u32 *out) {
  str s;
  json_space(j);
  u32 start = j->i;
  if (!json_string(j, MAX_VALUE_BYTES, &s)) return false;
  *out = class_code(s);
  return *out == NO_CLASS ? json_fail_at(j, P_VALUE, start) : true;
}

// parse_named reads {"name": ["value", …], …}.
static bool parse_named(struct json *j, const struct named **out, u32 *count) {
  struct named v[MAX_NAMES];
  u32 n = 0;
  bool first = true;
  json_space(j);
  u32 start = j->i;
  if (!json_take(j, '{')) return false;
  while (json_more(j, '}', &first)) {
    if (n == MAX_NAMES) return json_fail(j, P_TOO_LARGE);
    json_space(j);
    u32 at = j->i;
    if (!json_string(j, MAX_VALUE_BYTES, &v[n].name)) return false;
    if (v[n].name.n == 0) return json_fail_at(j, P_VALUE, at);
    for (u32 i = 0; i < n; i++)
      if (str_eq(v[i].name, v[n].name)) return json_fail_at(j, P_REPEATED, at);
    if (!json_take(j, ':') || !parse_list(j, MAX_LIST, MAX_VALUE_BYTES, &v[n].values)) return false;
    n++;
  }
  if (j->problem) return false;
  if (n == 0) return json_fail_at(j, P_VALUE, start);
  struct named *to = arena_take(n * sizeof *to);
  if (!to) return json_fail(j, P_TOO_LARGE);
  __builtin_memcpy(to, v, n * sizeof *to);
  *out = to;
  *count = n;
  return true;
}

static bool parse_networks(struct json *j, const struct net **out, u32 *count) {
  struct list l;
  json_space(j);
  u32 start = j->i;
  if (!parse_list(j, MAX_LIST, MAX_VALUE_BYTES, &l)) return false;
  struct net *to = arena_take(l.n * sizeof *to);
  if (!to) return json_fail(j, P_TOO_LARGE);
  for (u32 i = 0; i < l.n; i++)
    if (!net_parse(l.v[i], &to[i])) return json_fail_at(j, P_VALUE, start);
  *out = to;
  *count = l.n;
  return true;
}

// parse_minute reads "HH:MM", up to and including `most` minutes.
static bool parse_minute(struct json *j, u32 most, u32 *out) {
  str s;
  json_space(j);
  u32 start = j->i;
  if (!json_string(j, MAX_VALUE_BYTES, &s)) return false;
  if (s.n != 5 || s.p[2] != ':') return json_fail_at(j, P_VALUE, start);
  u32 d[5];
  for (u32 k = 0; k < 5; k++) {
    d[k] = (u32)s.p[k] - '0';
    if (k != 2 && d[k] > 9) return json_fail_at(j, P_VALUE, start);
  }
  *out = (d[0] * 10 + d[1]) * 60 + d[3] * 10 + d[4];
  return d[3] > 5 || *out > most ? json_fail_at(j, P_VALUE, start) : true;
}

static bool parse_window(struct json *j, struct window *w) {
  static const str names[] = {LIT_INIT("days"), LIT_INIT("from"), LIT_INIT("to"), LIT_INIT("utc_offset_minutes")};
  u32 seen = 0;
  json_space(j);
  u32 start = j->i;
  *w = (struct window){0x7f, 0, 24 * 60, 0};
  if (!json_take(j, '{')) return false;
  for (i32 k; (k = json_field(j, names, 4, &seen)) >= 0;) {
    json_space(j);
    u32 at = j->i;
    switch (k) {
      case 0:
        w->days = 0;
        if (!parse_words(j, DAYS, &w->days)) return false;
        break;
      case 1:
        if (!parse_minute(j, 24 * 60 - 1, &w->from)) return false;
        break;
      case 2:
        if (!parse_minute(j, 24 * 60, &w->to)) return false;
        break;
      default:
        if (!json_int(j, &w->offset)) return false;
        if (w->offset < -14 * 60 || w->offset > 14 * 60) return json_fail_at(j, P_VALUE, at);
    }
  }
  if (j->problem) return false;
  if (!(seen & 7)) return json_fail_at(j, P_MISSING, start);
  // A lone "from" could mean until midnight or until the next morning; an empty span could mean never or always.
  if (!(seen & 2) != !(seen & 4) || w->from == w->to) return json_fail_at(j, P_COMBINATION, start);
  return true;
}

static bool parse_cond(struct json *j, struct cond *c) {
  // In the order of enum condition.
  static const str names[CONDITIONS] = {
      LIT_INIT("action"),
      LIT_INIT("path"),
      LIT_INIT("environment"),
      LIT_INIT("classification"),
      LIT_INIT("max_classification"),
      LIT_INIT("min_classification"),
      LIT_INIT("trust"),
      LIT_INIT("claims"),
      LIT_INIT("labels"),
      LIT_INIT("networks"),
      LIT_INIT("time"),
  };
  json_space(j);
  u32 start = j->i;
  if (!json_take(j, '{')) return false;
  for (i32 k; (k = json_field(j, names, CONDITIONS, &c->set)) >= 0;) {
    bool ok = false;
    switch ((enum condition)k) {
      case C_ACTION: ok = parse_words(j, ACTIONS, &c->actions); break;
      case C_PATH: ok = parse_patterns(j, &c->path); break;
      case C_ENVIRONMENT: ok = parse_list(j, MAX_LIST, MAX_VALUE_BYTES, &c->environment); break;
      case C_CLASSIFICATION: ok = parse_words(j, CLASSES, &c->classes); break;
      case C_MAX_CLASSIFICATION: ok = parse_class(j, &c->max_class); break;
      case C_MIN_CLASSIFICATION: ok = parse_class(j, &c->min_class); break;
      case C_TRUST: ok = parse_list(j, MAX_LIST, MAX_VALUE_BYTES, &c->trust); break;
      case C_CLAIMS: ok = parse_named(j, &c->claims, &c->nclaims); break;
      case C_LABELS: ok = parse_named(j, &c->labels, &c->nlabels); break;
      case C_NETWORKS: ok = parse_networks(j, &c->networks, &c->nnetworks); break;
      case C_TIME: ok = parse_window(j, &c->time); break;
      case CONDITIONS: break;
    }
    if (!ok) return false;
  }
  if (j->problem) return false;
  // An empty object would hold always; who wants that leaves the member out.
  if (c->set == 0) return json_fail_at(j, P_VALUE, start);
  const u32 range = 1u << C_MAX_CLASSIFICATION | 1u << C_MIN_CLASSIFICATION;
  if ((c->set & range) == range && c->min_class > c->max_class) return json_fail_at(j, P_COMBINATION, start);
  return true;
}

static bool parse_count(struct json *j, i32 most, u32 *out) {
  i32 v;
  json_space(j);
  u32 start = j->i;
  if (!json_int(j, &v)) return false;
  if (v < 1 || v > most) return json_fail_at(j, P_VALUE, start);
  *out = (u32)v;
  return true;
}

static bool parse_approvers(struct json *j, struct list *out) {
  json_space(j);
  u32 start = j->i;
  if (!parse_list(j, MAX_APPROVERS, MAX_APPROVER_BYTES, out)) return false;
  for (u32 i = 0; i < out->n; i++)
    for (u32 k = 0; k < out->v[i].n; k++)
      if (out->v[i].p[k] < 0x20 || out->v[i].p[k] > 0x7e) return json_fail_at(j, P_VALUE, start);
  return true;
}

static bool parse_obligations(struct json *j, struct rule *r) {
  static const str names[] = {LIT_INIT("approvers"), LIT_INIT("n"), LIT_INIT("max_ttl")};
  u32 seen = 0;
  json_space(j);
  u32 start = j->i;
  if (!json_take(j, '{')) return false;
  for (i32 k; (k = json_field(j, names, 3, &seen)) >= 0;) {
    bool ok = k == 0   ? parse_approvers(j, &r->approvers)
              : k == 1 ? parse_count(j, 32, &r->n)
                       : parse_count(j, 30 * 86400, &r->max_ttl);
    if (!ok) return false;
  }
  if (j->problem) return false;
  return seen ? true : json_fail_at(j, P_VALUE, start);
}

// parse_name reads a rule's name, as records show it. The policy's own rule names are not to be had.
static bool parse_name(struct json *j, const struct rule *rules, str *out) {
  json_space(j);
  u32 start = j->i;
  if (!json_string(j, 64, out)) return false;
  if (out->n == 0) return json_fail_at(j, P_VALUE, start);
  for (u32 k = 0; k < out->n; k++)
    if (!segment_byte(out->p[k])) return json_fail_at(j, P_VALUE, start);
  static const str reserved[] = {LIT_INIT("error"), LIT_INIT("rule"), LIT_INIT("default"), LIT_INIT("malformed"), LIT_INIT("unconfigured")};
  for (u32 k = 0; k < sizeof reserved / sizeof reserved[0]; k++)
    if (str_eq(*out, reserved[k])) return json_fail_at(j, P_VALUE, start);
  for (; rules; rules = rules->next)
    if (str_eq(*out, rules->name)) return json_fail_at(j, P_REPEATED, start);
  return true;
}

static bool parse_effect(struct json *j, struct rule *r) {
  str s;
  json_space(j);
  u32 start = j->i;
  if (!json_string(j, MAX_VALUE_BYTES, &s)) return false;
  if (str_eq(s, LIT("deny")))
    r->effect = DENY;
  else if (str_eq(s, LIT("allow")))
    r->effect = ALLOW;
  else if (str_eq(s, LIT("require_approval")))
    r->effect = REQUIRE_APPROVAL;
  else
    return json_fail_at(j, P_VALUE, start);
  return true;
}

static bool parse_rule(struct json *j, const struct rule *rules, struct rule *r) {
  static const str names[] = {LIT_INIT("name"), LIT_INIT("effect"), LIT_INIT("when"), LIT_INIT("unless"), LIT_INIT("obligations"), LIT_INIT("reason")};
  u32 seen = 0;
  json_space(j);
  u32 start = j->i;
  *r = (struct rule){0};
  if (!json_take(j, '{')) return false;
  for (i32 k; (k = json_field(j, names, 6, &seen)) >= 0;) {
    bool ok = false;
    switch (k) {
      case 0: ok = parse_name(j, rules, &r->name); break;
      case 1: ok = parse_effect(j, r); break;
      case 2: ok = parse_cond(j, &r->when); break;
      case 3: ok = parse_cond(j, &r->unless); break;
      case 4: ok = parse_obligations(j, r); break;
      case 5: ok = json_string(j, MAX_REASON_BYTES, &r->reason); break;
    }
    if (!ok) return false;
  }
  if (j->problem) return false;
  if ((seen & 3) != 3) return json_fail_at(j, P_MISSING, start);
  r->obliges = (seen & 1u << 4) != 0;
  if (r->obliges && r->effect != REQUIRE_APPROVAL) return json_fail_at(j, P_COMBINATION, start);
  return true;
}

static bool parse_rules(struct json *j, struct rule **head) {
  struct rule **tail = head;
  u32 n = 0;
  bool first = true;
  if (!json_take(j, '[')) return false;
  while (json_more(j, ']', &first)) {
    if (n++ == MAX_RULES) return json_fail(j, P_TOO_LARGE);
    struct rule *r = arena_take(sizeof *r);
    if (!r) return json_fail(j, P_TOO_LARGE);
    if (!parse_rule(j, *head, r)) return false;
    *tail = r;
    tail = &r->next;
  }
  return j->problem == P_NONE;
}

static bool parse_fallback(struct json *j, enum effect *out) {
  str s;
  json_space(j);
  u32 start = j->i;
  if (!json_string(j, MAX_VALUE_BYTES, &s)) return false;
  if (str_eq(s, LIT("deny")))
    *out = DENY;
  else if (str_eq(s, LIT("abstain")))
    *out = ABSTAIN;
  else
    return json_fail_at(j, P_VALUE, start);
  return true;
}

static bool parse_document(struct json *j, struct document *d) {
  static const str names[] = {LIT_INIT("version"), LIT_INIT("default"), LIT_INIT("rules")};
  u32 seen = 0, version;
  *d = (struct document){0, DENY};
  if (!json_take(j, '{')) return false;
  for (i32 k; (k = json_field(j, names, 3, &seen)) >= 0;) {
    bool ok = k == 0 ? parse_count(j, 1, &version) : k == 1 ? parse_fallback(j, &d->fallback) : parse_rules(j, &d->rules);
    if (!ok) return false;
  }
  if (j->problem || !json_end(j)) return false;
  return (seen & 5) == 5 ? true : json_fail(j, P_MISSING);
}
