package awsemu

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/proxytest/oidcemu"
)

// Federation is the outbound web identity federation of the account (IAM User Guide, "Federating AWS identities to
// external services").
type Federation struct {
	Issuer string       // iss of its tokens
	Key    *oidcemu.Key // ES384 or RS256; nil: it is not enabled
	// Role is the ARN of the role that the user of AccessKey acts as here, and Function that of the Lambda function that
	// runs as it; "" for none. The session of a role that was assumed is that role's.
	Role, Function string
}

// Federate enables it, in place of any before.
func (s *Server) Federate(f Federation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.federation = f
}

// webIdentityLocked answers GetWebIdentityToken (AWS STS API Reference).
func (s *Server) webIdentityLocked(form url.Values, who identity) (string, *failure) {
	for name := range form {
		switch name {
		case "Action", "Version", "Audience.member.1", "SigningAlgorithm", "DurationSeconds":
		default:
			return "", &failure{http.StatusBadRequest, "ValidationError", "the emulator does not know " + name}
		}
	}
	life := 300
	if text := form.Get("DurationSeconds"); text != "" {
		var err error
		if life, err = strconv.Atoi(text); err != nil || life < 60 || life > 3600 {
			return "", &failure{http.StatusBadRequest, "ValidationError", "DurationSeconds is from 60 to 3600"}
		}
	}
	f := s.federation
	audience, algorithm := form.Get("Audience.member.1"), form.Get("SigningAlgorithm")
	if audience == "" || len(audience) > 1000 || algorithm != "ES384" && algorithm != "RS256" {
		return "", &failure{http.StatusBadRequest, "ValidationError", "Audience and SigningAlgorithm are required"}
	}
	if fail := s.allowLocked(Call{"sts:GetWebIdentityToken", who.region, who.principal, "*"}); fail != nil {
		return "", &failure{http.StatusForbidden, "AccessDenied", fail.message}
	}
	switch {
	case f.Key == nil:
		return "", &failure{http.StatusForbidden, "OutboundWebIdentityFederationDisabledException", "outbound web identity federation is not enabled for the account"}
	case f.Key.Algorithm != algorithm:
		return "", &failure{http.StatusBadRequest, "ValidationError", "the emulator has a key of " + f.Key.Algorithm}
	}
	role := f.Role
	if who.principal != AccessKey {
		role = who.principal
	}
	s.numbers++
	now := s.nowLocked().Truncate(time.Second)
	ends := now.Add(time.Duration(life) * time.Second)
	about := map[string]any{"aws_account": Account, "source_region": who.region, "principal_id": role}
	if f.Function != "" {
		about["lambda_source_function_arn"] = f.Function
	}
	token := f.Key.Sign(map[string]any{
		"iss": f.Issuer, "sub": role, "aud": audience, "iat": now.Unix(), "exp": ends.Unix(), "jti": fmt.Sprintf("web-identity-%d", s.numbers),
		"https://sts.amazonaws.com/": about,
	})
	return fmt.Sprintf(`<WebIdentityToken>%s</WebIdentityToken><Expiration>%s</Expiration>`, token, ends.UTC().Format(time.RFC3339)), nil
}
