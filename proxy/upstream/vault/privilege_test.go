package vault_test

import (
	"testing"

	"github.com/keyhole-edge/keyhole/proxy/secret"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault"
	"github.com/keyhole-edge/keyhole/proxy/upstream/vault/baotest"
)

// The least that a policy must give to write and to delete: with all of it each works, without any one of it none does.
func TestLeastPrivilegeOfWrites(t *testing.T) {
	bao := baotest.Start(t)
	mount := bao.Mount(t, 2)
	all := map[string]string{mount + "/data/*": "create update", mount + "/metadata/*": "read create update", mount + "/destroy/*": "update"}
	act := func(name string, rules map[string]string) (written, described, deleted error) {
		bao.Policy(t, name, rules)
		roleID, secretID := bao.AppRole(t, name, nil)
		u := open(t, vault.Config{Address: bao.URL, Mount: mount, Version: 2, Login: vault.AppRole("approle", constant(roleID), constant(secretID))})
		write := func(metadata map[string]string) error {
			s := &secret.Secret{Fields: []secret.Field{{Name: "a", Value: secret.NewValue([]byte("1"))}}, Metadata: metadata}
			_, _, err := u.(secret.Writer).Write(t.Context(), name, secret.Write{Secret: s})
			return err
		}
		written, described = write(nil), write(map[string]string{"owner": "web"})
		return written, described, u.(secret.Deleter).Delete(t.Context(), name)
	}
	if written, described, deleted := act("all", all); written != nil || described != nil || deleted != nil {
		t.Errorf("with all: %v, %v, %v", written, described, deleted)
	}
	without := func(path, capabilities string) map[string]string {
		rules := map[string]string{}
		for p, c := range all {
			rules[p] = c
		}
		if rules[mount+path] = capabilities; capabilities == "" {
			delete(rules, mount+path)
		}
		return rules
	}
	written, _, _ := act("nocreate", without("/data/*", "update"))
	wantKind(t, "a new secret without create", written, secret.ErrDenied)
	_, described, _ := act("noupdate", without("/data/*", "create"))
	wantKind(t, "a second version without update", described, secret.ErrDenied)
	written, described, deleted := act("nometadata", without("/metadata/*", "read"))
	if written != nil || deleted != nil {
		t.Errorf("without writing metadata: %v, %v", written, deleted)
	}
	wantKind(t, "metadata that may not be written", described, secret.ErrDenied)
	_, _, deleted = act("nodestroy", without("/destroy/*", ""))
	wantKind(t, "a deletion without destroy", deleted, secret.ErrDenied)
}
