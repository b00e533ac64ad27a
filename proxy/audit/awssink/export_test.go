package awssink

// SetMost gives parts another size.
func SetMost(s *Sink, bytes int) { s.most = bytes }
