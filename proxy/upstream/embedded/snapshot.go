package embedded

import (
	"context"
	"fmt"
	"io"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/secret"
)

// Snapshot writes the vault's file as it is at one moment to what to returns, which is told the number of bytes. Reads and
// writes go on meanwhile; but a file that has to grow past the next power of two waits for the snapshot, so that whoever
// takes it must be quick or be cut off. It ends with the context. The result is as secret as the file, and no more.
func (v *Vault) Snapshot(ctx context.Context, to func(bytes int64) (io.Writer, error)) error {
	err := v.view(ctx, func(tx *bolt.Tx) error {
		w, err := to(tx.Size())
		if err != nil {
			return err
		}
		_, err = tx.WriteTo(contextWriter{ctx, w})
		return err
	})
	if ended := secret.ContextError(ctx); err != nil && ended != nil {
		err = ended // the library does not wrap what a writer says
	}
	if err != nil {
		return fmt.Errorf("copying the vault: %w", err)
	}
	return nil
}

// contextWriter is w until ctx is done.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(b []byte) (int, error) {
	if err := secret.ContextError(c.ctx); err != nil {
		return 0, err
	}
	return c.w.Write(b)
}
