package strictjson

import (
	"strings"
	"unicode"
)

// manyNames is where comparing a new name with each earlier one is given up for a map.
const manyNames = 12

// names finds names that are equal, under Unicode simple case folding unless exact, in time linear in the size of the
// object.
type names struct {
	folded map[string]int // folded or exact name -> index in the members; nil while there are few
}

// add takes the name that is to follow members. It returns the index of the member whose name is equal, if any.
func (s *names) add(members []Member, name string, exact bool) (int, bool) {
	equal, key := strings.EqualFold, fold
	if exact {
		equal, key = func(a, b string) bool { return a == b }, func(a string) string { return a }
	}
	if s.folded == nil && len(members) < manyNames {
		for i := range members {
			if equal(members[i].Name, name) {
				return i, true
			}
		}
		return 0, false
	}
	if s.folded == nil {
		s.folded = make(map[string]int, 2*len(members))
		for i := range members {
			s.folded[key(members[i].Name)] = i
		}
	}
	k := key(name)
	if i, dup := s.folded[k]; dup {
		return i, true
	}
	s.folded[k] = len(members)
	return 0, false
}

// fold maps each rune to the least of its case orbit: fold(a) == fold(b) exactly where strings.EqualFold(a, b).
func fold(s string) string { return strings.Map(foldRune, s) }

func foldRune(r rune) rune {
	for {
		// SimpleFold goes up the orbit and returns to its least rune after the greatest.
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
