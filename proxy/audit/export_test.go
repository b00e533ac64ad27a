package audit

// Encode writes r as one unsigned line of the given place, the way Append does.
func Encode(dst []byte, r *Record, c Chain) []byte {
	start := len(dst)
	dst = appendBody(dst, r, &c)
	dst, _ = appendHash(dst, start)
	return dst
}

// EncodeSigned writes r with the signature that it holds.
func EncodeSigned(r *Record) []byte { return appendDecoded(nil, r) }
