package state_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyhole-edge/keyhole/proxy/state"
	"github.com/keyhole-edge/keyhole/proxy/state/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	statetest.Run(t, statetest.Suite{Open: func(_ string, wall func() time.Time) (state.Store, error) {
		return state.NewMemory(state.MemoryConfig{Wall: wall})
	}})
}
