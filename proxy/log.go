package proxy

import "log/slog"

// Refusals are an ordinary part of the work; faults ask for someone's attention.
const (
	levelRefused = slog.LevelDebug
	levelFault   = slog.LevelError
)

func attrs(pairs ...string) []slog.Attr {
	out := make([]slog.Attr, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, slog.String(pairs[i], pairs[i+1]))
	}
	return out
}
