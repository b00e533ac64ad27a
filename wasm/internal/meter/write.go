package meter

import "encoding/binary"

func appendU32(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

// appendS64 writes a signed LEB128, which i64.const takes.
func appendS64(dst []byte, v int64) []byte {
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(dst, b)
		}
		dst = append(dst, b|0x80)
	}
}

func appendSection(dst []byte, id byte, content []byte) []byte {
	dst = append(dst, id)
	dst = appendU32(dst, uint32(len(content)))
	return append(dst, content...)
}

func appendName(dst []byte, name string) []byte {
	dst = appendU32(dst, uint32(len(name)))
	return append(dst, name...)
}

// appendLimits writes l with its maximum lowered to bound.
func appendLimits(dst []byte, l Limits, bound uint32) []byte {
	if l.HasMax && l.Max < bound {
		bound = l.Max
	}
	dst = append(dst, 1)
	dst = appendU32(dst, l.Min)
	return appendU32(dst, bound)
}
