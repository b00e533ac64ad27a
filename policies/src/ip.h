// Internet addresses and prefixes in text. An IPv4-mapped IPv6 address is the IPv4 address.
#pragma once
#include "abi.h"

// net is a prefix; an address is a prefix of all its bits. IPv4 uses the first four bytes.
struct net {
  u8 addr[16];
  u8 bits;
  bool v4;
};

// ip_decimal reads a decimal number of at most `max` without leading zeros.
static bool ip_decimal(str s, u32 *i, u32 max, u32 *out) {
  u32 start = *i, v = 0;
  while (*i < s.n && (u8)(s.p[*i] - '0') < 10) {
    v = v * 10 + (s.p[*i] - '0');
    if (v > max || (*i > start && s.p[start] == '0')) return false;
    (*i)++;
  }
  *out = v;
  return *i > start;
}

// ip_dotted reads a.b.c.d to the end of s.
static bool ip_dotted(str s, u32 i, u8 *out) {
  for (u32 k = 0; k < 4; k++) {
    u32 v;
    if (k > 0 && (i >= s.n || s.p[i++] != '.')) return false;
    if (!ip_decimal(s, &i, 255, &v)) return false;
    out[k] = (u8)v;
  }
  return i == s.n;
}

static u32 ip_hex(u8 c) {
  if ((u8)(c - '0') < 10) return c - '0';
  if ((u8)((c | 0x20) - 'a') < 6) return (c | 0x20) - 'a' + 10;
  return 16;
}

// ip_colons reads the text form of RFC 4291 section 2.2, without a zone.
static bool ip_colons(str s, u8 *out) {
  u32 i = 0, at = 0, gap = 17;  // at: bytes written; gap: where "::" stands, 17 for nowhere
  if (s.n >= 2 && s.p[0] == ':' && s.p[1] == ':') {
    gap = 0;
    i = 2;
  }
  while (i < s.n && at < 16) {
    u32 v = 0, digits = 0, start = i;
    for (; i < s.n && ip_hex(s.p[i]) < 16; i++) {
      if (++digits > 4) return false;
      v = v << 4 | ip_hex(s.p[i]);
    }
    if (i < s.n && s.p[i] == '.') {
      if (at > 12 || !ip_dotted(s, start, out + at)) return false;
      at += 4;
      i = s.n;
      break;
    }
    if (digits == 0) return false;
    out[at++] = (u8)(v >> 8);
    out[at++] = (u8)v;
    if (i == s.n) break;
    if (s.p[i++] != ':' || i == s.n) return false;
    if (s.p[i] == ':') {
      if (gap != 17) return false;
      gap = at;
      i++;
    }
  }
  if (i != s.n) return false;
  if (gap == 17) return at == 16;
  if (at == 16) return false;
  u32 tail = at - gap;
  for (u32 k = 1; k <= tail; k++) out[16 - k] = out[at - k];
  for (u32 k = gap; k < 16 - tail; k++) out[k] = 0;
  return true;
}

static bool ip_parse(str s, struct net *out) {
  bool colon = false;
  for (u32 i = 0; i < s.n; i++) colon |= s.p[i] == ':';
  out->v4 = !colon;
  out->bits = colon ? 128 : 32;
  if (!colon) return ip_dotted(s, 0, out->addr);
  if (!ip_colons(s, out->addr)) return false;
  for (u32 k = 0; k < 12; k++)
    if (out->addr[k] != (k < 10 ? 0 : 0xff)) return true;
  for (u32 k = 0; k < 4; k++) out->addr[k] = out->addr[12 + k];
  out->v4 = true;
  out->bits = 32;
  return true;
}

static inline u8 ip_mask(u32 bits, u32 byte) {
  if (bits >= 8 * byte + 8) return 0xff;
  if (bits <= 8 * byte) return 0;
  return (u8)(0xff00 >> (bits - 8 * byte));
}

// net_parse reads ADDRESS/BITS; bits after the prefix must be zero, so that 10.0.0.1/8 is a mistake and not a guess.
static bool net_parse(str s, struct net *out) {
  u32 slash = 0, bits;
  while (slash < s.n && s.p[slash] != '/') slash++;
  if (slash == s.n || !ip_parse((str){s.p, slash}, out)) return false;
  bool colon = false;
  for (u32 i = 0; i < slash; i++) colon |= s.p[i] == ':';
  u32 i = slash + 1;
  if (!ip_decimal(s, &i, colon ? 128 : 32, &bits) || i != s.n) return false;
  if (colon && out->v4) {
    if (bits < 96) return false;
    bits -= 96;
  }
  for (u32 k = 0; k < (out->v4 ? 4u : 16u); k++)
    if (out->addr[k] & ~ip_mask(bits, k)) return false;
  out->bits = (u8)bits;
  return true;
}

static bool net_contains(const struct net *n, const struct net *a) {
  if (n->v4 != a->v4) return false;
  for (u32 k = 0; k < (n->v4 ? 4u : 16u); k++)
    if ((n->addr[k] ^ a->addr[k]) & ip_mask(n->bits, k)) return false;
  return true;
}
