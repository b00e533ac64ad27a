package config

func (k *checker) identity() {
	id := &k.c.Identity
	p := root("identity")
	if !id.SigningKey.IsZero() || !id.Keys.IsZero() {
		for name, v := range map[string]string{"issuer": id.Issuer, "audience": id.Audience} {
			if v == "" {
				k.conflict(p.key(name), "is needed with signing_key or keys", "")
			}
		}
	}
	if _, err := id.Function.Scopes(); err != nil {
		k.conflict(p.key("function").key("scope"), err.Error(), "")
	}
	k.trust()
}
