package app

import (
	"fmt"
	"net/http"
	"time"

	"github.com/keyhole-edge/keyhole/proxy/app/config"
	"github.com/keyhole-edge/keyhole/proxy/httpapi"
	"github.com/keyhole-edge/keyhole/proxy/identity"
)

// Beside is the program that a process serves which was started beside it and ends with it, such as the function of a
// Lambda extension. Every listener is then one for programs of this machine, and none has to be open but one.
type Beside struct {
	Name  string // of the program
	Token string // that the environment of both has, and of nobody else; "": the program needs a token of its own
}

// besideDrain is how long the requests of a program that has ended are waited for. Behind it come the seal of the log and
// what else closes, all within half a second, which may be all that there is.
const besideDrain = 250 * time.Millisecond

// known reports whether the program can show who it is.
func (s *Beside) known() bool { return s != nil && s.Token != "" }

// workload is who may ask by the token that the program beside us has.
func (b *builder) workload() (*identity.Workload, error) {
	s := b.options.Beside
	if !s.known() {
		return nil, nil
	}
	scopes, err := b.env.Config.Identity.Function.Scopes()
	if err != nil {
		return nil, fmt.Errorf("function.scope: %w", err)
	}
	return &identity.Workload{Token: s.Token, Subject: s.Name, Scopes: scopes}, nil
}

// nativeHandler is what the native listener answers with.
func (a *App) nativeHandler() http.Handler {
	if a.options.Beside != nil {
		return a.invocation.within(httpapi.Loopback(a.Native), a.options.Wall)
	}
	return a.Native
}

// awsHandler is what the listener of the AWS dialect answers with.
func (a *App) awsHandler() http.Handler {
	if a.options.Beside != nil {
		return a.invocation.within(a.AWS, a.options.Wall)
	}
	return a.AWS
}

// checkListen says what of the listeners cannot be.
func (a *App) checkListen(l config.Listen) error {
	switch beside := a.options.Beside != nil; {
	case beside && l.Native.Address == "" && l.AWS.Address == "":
		return fmt.Errorf("%s: it is off, and so is listen.aws: there is nothing to serve; give HOST:PORT", nativeKey)
	case beside && l.Native.Address != "" && !config.IsLoopback(l.Native.Address):
		return fmt.Errorf("%s: the program beside this one is on this machine: give a loopback address such as 127.0.0.1:8640", nativeKey)
	case !beside && l.Native.Address == "":
		// The network would take "" for any port on every address of the machine.
		return fmt.Errorf("%s: it is off, and a server has nothing else to serve; give HOST:PORT", nativeKey)
	}
	return nil
}
