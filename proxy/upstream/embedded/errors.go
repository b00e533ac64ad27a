package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

var (
	// ErrWrongKey: the file is a sound vault of another master key. Find the key it was made with; there is no way in
	// without it.
	ErrWrongKey = errors.New("the master key is not this vault's")
	// ErrForeign: the file is something else than a vault. Point the path elsewhere.
	ErrForeign = errors.New("the file is not a vault")
	// ErrNewerFormat: the vault was written by a later version of this program. Use that version.
	ErrNewerFormat = errors.New("the vault's format is newer than this program")
	// ErrLocked: another process, or another Vault in this one, has the file open. Stop it, or ask it.
	ErrLocked = errors.New("the vault is open in another process")
	// ErrCorrupt: the file is cut short, altered or damaged, as a whole at Open or in the entry that was asked for.
	// Restore a backup. It is a kind of secret.ErrUnavailable.
	ErrCorrupt error = unavailable{errors.New("the vault's file is damaged")}
	// ErrClosed: Close was called. It is a kind of secret.ErrUnavailable.
	ErrClosed error = unavailable{errors.New("the vault is closed")}
)

// unavailable is a kind of secret.ErrUnavailable that says only what it is: to those who restore or rekey a vault it is no
// upstream.
type unavailable struct{ error }

func (u unavailable) Unwrap() []error { return []error{secret.ErrUnavailable, u.error} }

// errPanicked marks the errors that guard made from a panic.
var errPanicked = fmt.Errorf("%w: its pages do not hold together", ErrCorrupt)

// guard turns what the storage library does on a damaged file into an error: it panics on pages that make no sense, and
// reading mapped memory behind a file's end is a memory fault. Open checks every page first, so this is for a file that
// is altered under a running program. The panic's text goes to the log: pages hold names, but no plain value.
func guard(log *slog.Logger, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			log.Error("vault: damaged file", "panic", fmt.Sprint(r))
			err = errPanicked
		}
	}()
	return f()
}
