package secret

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Errors that an Upstream answers with, wrapped. Anything else is an upstream failure as well, but an unexplained one.
var (
	// ErrNotFound: the upstream itself says that there is no such secret or version. A missing mount, namespace or
	// route is not this but ErrUnavailable.
	ErrNotFound = errors.New("secret not found")
	// ErrDenied: the upstream refused our own credentials for this object, after one new login.
	ErrDenied = errors.New("upstream denied access")
	// ErrThrottled: the upstream asked to slow down.
	ErrThrottled = errors.New("upstream throttled")
	// ErrUnavailable: the upstream could not be reached or failed; trying again may help.
	ErrUnavailable = errors.New("upstream unavailable")
	// ErrUnreadable: the upstream answered that it cannot or will not read this one secret, such as when the key that
	// encrypts it is disabled. For whoever asks it is a failure, past which a cached value may be served; it tells nothing
	// about other secrets.
	ErrUnreadable = errors.New("upstream cannot read the secret")
	// ErrTimeout: the upstream did not answer within the deadline.
	ErrTimeout = errors.New("upstream timed out")
	// ErrConflict: Write.IfVersion does not name the current version.
	ErrConflict = errors.New("version conflict")
	// ErrTooLarge: the secret is larger than MaxValueBytes.
	ErrTooLarge = errors.New("secret too large")
	// ErrUnsupported: the upstream has no such operation.
	ErrUnsupported = errors.New("operation not supported by the upstream")
	// ErrLeased: the upstream answered with a secret that it made for us and will take back. Such a secret belongs to one
	// principal and is neither served nor kept.
	ErrLeased = errors.New("the secret is leased")
)

// ContextError is nil until ctx is done, and then what an Upstream answers: ErrTimeout after a deadline, or the error of
// ctx itself.
func ContextError(ctx context.Context) error {
	err := ctx.Err()
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	return err
}

// Upstream reads secrets from one vault. name is the object's name inside it: mount "at", "/" and the rest of the path;
// adapters map it to their own naming. Implementations are safe for concurrent use, honour ctx, return errors that wrap
// the sentinels above and never put a secret or a credential into an error. The Secret returned belongs to the caller.
type Upstream interface {
	// Read returns one version: Current, Previous, or one named by the upstream.
	Read(ctx context.Context, name string, v Version) (*Secret, error)
	// Close releases what the upstream holds and waits for its goroutines.
	Close() error
}

// Item is what a listing tells of a secret: never its value.
type Item struct {
	Name      string
	Version   Version
	UpdatedAt time.Time
	Metadata  map[string]string
}

// Lister is an Upstream that can list.
type Lister interface {
	// List returns at most limit items whose name is prefix or below it by whole segments and bytewise greater than
	// after, in bytewise order of the names. An empty prefix lists everything. Fewer than limit items means the end.
	List(ctx context.Context, prefix, after string, limit int) ([]Item, error)
}

// Location is where a cloud keeps a secret. What is "" is not known, or does not matter.
type Location struct {
	Region  string
	Account string
}

// Elsewhere reports whether what is at l cannot be what is at o.
func (l Location) Elsewhere(o Location) bool {
	differ := func(a, b string) bool { return a != "" && b != "" && a != b }
	return differ(l.Region, o.Region) || differ(l.Account, o.Account)
}

// Located is an Upstream of a cloud that has secrets of one name in several places.
type Located interface {
	// Location says where the upstream looks for name, as far as it knows by now. After a Read that found it, it knows.
	Location(name string) Location
}

// Write is one new version of a secret.
type Write struct {
	Secret *Secret // Value or Fields, and Metadata: nil keeps what is stored, empty clears it
	// IfVersion, when not empty, must name the current version, or be "0" for a secret that must not exist;
	// otherwise the write fails with ErrConflict.
	IfVersion Version
}

// Writer is an Upstream that takes writes.
type Writer interface {
	// Write stores w as the new current version, durably before it returns, and says whether the secret is new.
	// Version numbers are never used again. The bytes of w.Secret stay the caller's.
	Write(ctx context.Context, name string, w Write) (v Version, created bool, err error)
}

// Deleter is a Writer that can delete.
type Deleter interface {
	// Delete removes every version of a secret, durably before it returns. Where there is none it changes nothing and is
	// no error. Version numbers stay used: a secret that is written again goes on counting.
	Delete(ctx context.Context, name string) error
}

// VersionState says what has become of a version.
type VersionState string

// The states of a version. A version that is destroyed is still known, but its value is gone.
const (
	StateCurrent   VersionState = "current"
	StatePrevious  VersionState = "previous"
	StateOld       VersionState = "old"
	StateDestroyed VersionState = "destroyed"
)

// VersionInfo is what a history tells of a version: never its value.
type VersionInfo struct {
	Version   Version
	CreatedAt time.Time // UTC
	State     VersionState
}

// Versioner is an Upstream that can tell the versions of a secret.
type Versioner interface {
	// Versions returns the versions that the upstream knows of, the newest first: one is current, and what Read answers
	// as Previous is previous. It fails with ErrNotFound where there is no such secret. A vault that prunes versions
	// without a trace leaves them out.
	Versions(ctx context.Context, name string) ([]VersionInfo, error)
}

// Change is an acknowledged write or deletion that others have not been told of yet.
type Change struct {
	ID   uint64
	Name string
}

// Outbox is a Writer that remembers, in the transaction of the write itself, that its change must be announced. A
// change stays pending until it is settled, across restarts, so that a write and its announcement cannot come apart.
type Outbox interface {
	// Pending returns unsettled changes in the order of the writes, possibly not all of them at once: none means none.
	Pending(ctx context.Context) ([]Change, error)
	// Settle forgets the changes with these IDs; unknown IDs are ignored.
	Settle(ctx context.Context, ids ...uint64) error
}

// OrderedVersions is an Upstream whose version names tell which of two versions of a secret is the newer. A read that
// comes back with an older version than the one it would replace came from a replica that lags behind.
type OrderedVersions interface {
	// CompareVersions is negative where a is older than b, positive where it is newer, and 0 where they are the same or
	// where the names do not tell.
	CompareVersions(a, b Version) int
}

// CompareNumbers is CompareVersions for upstreams whose versions are decimal numbers.
func CompareNumbers(a, b Version) int {
	x, errX := strconv.ParseUint(string(a), 10, 64)
	y, errY := strconv.ParseUint(string(b), 10, 64)
	if errX != nil || errY != nil {
		return 0
	}
	return cmp.Compare(x, y)
}

// UniqueVersions marks an Upstream that never gives one version name to a secret twice, not even after the secret was
// deleted and made anew.
type UniqueVersions interface{ UniqueVersions() }
