package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/keyhole-edge/keyhole/proxy/app"
	"github.com/keyhole-edge/keyhole/proxy/app/vaultfile"
)

// keys reads every key as the server does, and holds those that belong together against each other.
func keys(ctx context.Context, p *patient) []Finding {
	var found []Finding
	if err := app.CheckKeys(p.Config, p.set.Getenv, p.set.Wall); err != nil {
		found = append(found, fail(err.Error(), "", "put the file right, or back from where it is kept"))
	}
	if left := app.Unfinished(p.Config); left != "" {
		found = append(found, warn("a rotation of the signing key was interrupted", left, `run "keyhole key rotate" to finish it`))
	}
	for _, v := range vaultfile.All(p.Config, p.set.Getenv) {
		found = append(found, p.vault(ctx, v)...)
	}
	if len(found) == 0 {
		found = append(found, ok("the signing key, the audit key and each vault's master key are there and fit", ""))
	}
	return found
}

// vault opens a vault for reading, which a server that has it open does not let happen, and need not.
func (p *patient) vault(ctx context.Context, v vaultfile.File) (found []Finding) {
	if v.Pending() != "" {
		found = append(found, warn("a rekey of the vault was interrupted", v.Pending(), `stop the server and run "keyhole vault rekey" to finish it`))
	}
	if !v.Exists() {
		if err := v.CheckKey(); err != nil {
			return append(found, fail(err.Error(), "upstreams."+v.Name, "a server that starts makes a vault here; it needs a key first"))
		}
		return append(found, warn("there is no vault: a server that starts makes an empty one", v.Path, "restore a backup if there was one: keyhole vault restore FILE"))
	}
	_, err := v.Check(ctx, false)
	switch {
	case err == nil, errors.Is(err, vaultfile.ErrLocked) && p.pid > 0:
	case errors.Is(err, vaultfile.ErrLocked):
		found = append(found, fail(app.NameHolder(v.Path, err, vaultfile.ErrLocked).Error(), v.Path, "stop that process: it is not the server of this configuration"))
	default:
		what, why, _ := strings.Cut(err.Error(), "\n")
		if why == "" {
			why = "restore a backup: keyhole vault restore FILE"
		}
		found = append(found, fail(what, v.Path, why))
	}
	return found
}
