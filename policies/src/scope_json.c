// scope_json: the decisions of scope over the json encoding of a request. It is for tests and benchmarks, which compare
// the two encodings under the same logic.
#define ARENA_BYTES (64 << 10)
#include "json_skip.h"
#include "pattern.h"

enum rule { RULE_COVERED = 1, RULE_UNCOVERED = 2, RULE_MALFORMED = 3 };
enum { MAX_SCOPES = 32, MAX_TEXT = 1024, MAX_DEPTH = 8 };

struct request {
  str action, path;
  str scopes[MAX_SCOPES];
  u32 nscopes;
  u32 seen;  // 1 action, 2 secret, 4 principal, 8 path, 16 scopes
};

// once notes that a member was read, and refuses it the second time.
static bool once(struct json *j, struct request *r, u32 bit) {
  if (r->seen & bit) return json_fail(j, P_REPEATED);
  r->seen |= bit;
  return true;
}

static bool read_scopes(struct json *j, struct request *r) {
  bool first = true;
  if (!once(j, r, 16) || !json_take(j, '[')) return false;
  while (json_more(j, ']', &first)) {
    if (r->nscopes == MAX_SCOPES) return json_fail(j, P_TOO_LARGE);
    if (!json_string(j, MAX_TEXT, &r->scopes[r->nscopes++])) return false;
  }
  return j->problem == P_NONE;
}

// read_member reads one member, skips it where it is of no interest, or says which object to enter. `within` is 0 for the request
// itself, 1 for its secret, 2 for its principal; *enter likewise.
static CALL bool read_member(struct json *j, struct request *r, u32 within, str name, u32 *enter) {
  *enter = 0;
  if (within == 0 && str_eq(name, LIT("action"))) return once(j, r, 1) && json_string(j, MAX_TEXT, &r->action);
  if (within == 0 && str_eq(name, LIT("secret"))) {
    *enter = 1;
    return once(j, r, 2);
  }
  if (within == 0 && str_eq(name, LIT("principal"))) {
    *enter = 2;
    return once(j, r, 4);
  }
  if (within == 1 && str_eq(name, LIT("path"))) return once(j, r, 8) && json_string(j, MAX_TEXT, &r->path);
  if (within == 2 && str_eq(name, LIT("scopes"))) return read_scopes(j, r);
  return json_skip(j, MAX_DEPTH);
}

static CALL bool read_inner(struct json *j, struct request *r, u32 within) {
  bool first = true;
  str name;
  u32 enter;
  if (!json_take(j, '{')) return false;
  while (json_more(j, '}', &first))
    if (!json_name(j, &name) || !read_member(j, r, within, name, &enter)) return false;
  return j->problem == P_NONE;
}

static bool read_request(struct json *j, struct request *r) {
  bool first = true;
  str name;
  u32 enter;
  if (!json_take(j, '{')) return false;
  while (json_more(j, '}', &first)) {
    if (!json_name(j, &name) || !read_member(j, r, 0, name, &enter)) return false;
    if (enter && !read_inner(j, r, enter)) return false;
  }
  return j->problem == P_NONE && json_end(j) && r->seen == 31;
}

EXPORT("policy_eval") u64 policy_eval(u32 ptr, u32 len) {
  const u64 malformed = result(DENY, RULE_MALFORMED);
  struct request r;
  arena_used = 0;
  r.nscopes = r.seen = 0;
  if (!in_buffer(ptr, len)) return malformed;
  struct json j = {buffer, len, 0, P_NONE, 0};
  if (!read_request(&j, &r)) return malformed;
  if (action_code(r.action) == NO_ACTION || !path_valid(r.path)) return malformed;
  for (u32 i = 0; i < r.nscopes; i++)
    if (scope_allows(r.scopes[i], r.action, r.path)) return result(ALLOW, RULE_COVERED) | RESULT_CACHEABLE;
  return result(DENY, RULE_UNCOVERED) | RESULT_CACHEABLE;
}
