// scope: allows what a scope of the token covers and denies the rest. The host has enforced scopes before any policy
// runs; this policy says so in the record, and is what replays and evaluations use.
#include "flat1.h"
#include "pattern.h"

enum rule { RULE_COVERED = 1, RULE_UNCOVERED = 2, RULE_MALFORMED = 3 };

EXPORT("policy_eval") u64 policy_eval(u32 ptr, u32 len) {
  const u64 malformed = result(DENY, RULE_MALFORMED);
  struct request r;
  str action, path, scope;
  if (!request_open(&r, ptr, len)) return malformed;
  if (!request_slot(&r, SLOT_ACTION, &action) || action_code(action) == NO_ACTION) return malformed;
  if (!request_slot(&r, SLOT_PATH, &path) || !path_valid(path)) return malformed;
  for (u32 i = 0; i < r.nscopes; i++) {
    if (!request_entry(&r, r.scopes + 8 * i, &scope)) return malformed;
    if (scope_allows(scope, action, path)) return result(ALLOW, RULE_COVERED) | RESULT_CACHEABLE;
  }
  return result(DENY, RULE_UNCOVERED) | RESULT_CACHEABLE;
}

