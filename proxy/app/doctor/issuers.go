package doctor

import (
	"context"
	"fmt"

	"github.com/keyhole-edge/keyhole/proxy/app"
)

// issuers fetches the keys of every issuer that trust rules name. The keys check reads what the rules refer to.
func issuers(ctx context.Context, p *patient) []Finding {
	var found []Finding
	for _, i := range app.CheckIssuers(ctx, p.Config, p.set.Getenv, p.set.Wall) {
		const where = "identity.trust"
		switch {
		case i.Err != nil && i.Bundled:
			found = append(found, warn(fmt.Sprintf("the keys of %s cannot be fetched, so those in jwks serve and a new one is not known: %v", i.Issuer, i.Err), where, "see whether this machine can reach the issuer"))
		case i.Err != nil:
			found = append(found, fail(fmt.Sprintf("the keys of %s cannot be fetched, so its tokens are refused: %v", i.Issuer, i.Err), where, "see whether this machine can reach the issuer, and whether issuer, jwks_uri, ca and allow_private are right"))
		case i.Keys == 0:
			found = append(found, fail(i.Issuer+" publishes no key that can verify a token", where, "see whether jwks_uri is right"))
		default:
			found = append(found, ok(fmt.Sprintf("%s publishes %d keys", i.Issuer, i.Keys), where))
		}
	}
	return found
}
