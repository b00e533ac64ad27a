// attributes: decides by environment, classification, claims, source network and time of day, as rules in its data
// document say. Rules are tried in order and the first that holds decides.
#define ARENA_BYTES (96 << 10)
#include "attributes_data.h"
#include "attributes_match.h"
#include "detail.h"

enum code { CODE_RULE = 1, CODE_DEFAULT = 2, CODE_MALFORMED = 3, CODE_UNCONFIGURED = 4 };

static struct document document;
static bool configured;
static const struct rule *decided;  // by the last policy_eval; 0 where no rule did
static bool unjudged;               // decided denies because a condition was unknown

// policy_init answers 0, or the problem times 65536 plus the byte of the document where it was found.
EXPORT("policy_init") i32 policy_init(u32 ptr, u32 len) {
  configured = false;
  decided = 0;
  arena_used = 0;
  if (!in_buffer(ptr, len)) return P_TOO_LARGE << 16;
  struct json j = {buffer, len, 0, P_NONE, 0};
  if (!parse_document(&j, &document)) return (i32)(j.problem << 16 | (j.at < 0xffff ? j.at : 0xffff));
  configured = true;
  return 0;
}

EXPORT("policy_eval") u64 policy_eval(u32 ptr, u32 len) {
  struct facts f;
  decided = 0;
  unjudged = false;
  if (!configured) return result(DENY, CODE_UNCONFIGURED);
  if (!facts_open(&f, ptr, len)) return result(DENY, CODE_MALFORMED);
  const struct rule *r = document.rules;
  enum tri holds = NO;
  for (; r; r = r->next) {
    holds = match_rule(&f, r);
    if (f.bad) return result(DENY, CODE_MALFORMED);
    if (holds == YES) break;
    // What would restrict must not be passed over unjudged, what would allow must not be granted unjudged.
    if (holds == UNKNOWN && r->effect != ALLOW) break;
  }
  if (!r) return result(document.fallback, CODE_DEFAULT);
  decided = r;
  unjudged = holds == UNKNOWN;
  return result(unjudged ? DENY : r->effect, CODE_RULE) | RESULT_DETAIL;
}

static void put_obligations(struct writer *w, const struct rule *r) {
  u8 before = '{';
  put_raw(w, LIT(",\"obligations\":"));
  if (r->approvers.n) {
    put_raw(w, LIT("{\"approvers\":"));
    for (u32 i = 0; i < r->approvers.n; i++) {
      put(w, i ? ',' : '[');
      put_string(w, r->approvers.v[i]);
    }
    put(w, ']');
    before = ',';
  }
  if (r->n) {
    put(w, before);
    put_raw(w, LIT("\"n\":"));
    put_number(w, r->n);
    before = ',';
  }
  if (r->max_ttl) {
    put(w, before);
    put_raw(w, LIT("\"max_ttl\":"));
    put_number(w, r->max_ttl);
  }
  put(w, '}');
}

EXPORT("policy_detail") u64 policy_detail(void) {
  struct writer w = {0, false};
  if (!decided) return 0;
  put_raw(&w, LIT("{\"rule\":"));
  put_string(&w, decided->name);
  str reason = unjudged ? LIT("a condition of this rule could not be judged") : decided->reason;
  if (reason.n) {
    put_raw(&w, LIT(",\"reason\":"));
    put_string(&w, reason);
  }
  if (decided->obliges && !unjudged) put_obligations(&w, decided);
  put(&w, '}');
  return w.full ? 0 : (u64)(u32)detail << 32 | w.n;
}
