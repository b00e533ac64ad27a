package boltstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/keyhole-edge/keyhole/proxy/state"
)

// The buckets of the file. Integers are big-endian, so that keys sort by number.
var (
	metaBucket  = []byte("meta")  // "format", "horizon": seq of the last Lift that was let go of
	factsBucket = []byte("facts") // seq -> entry; its bolt sequence is the last seq given
	idsBucket   = []byte("ids")   // ID -> seq, of held facts
	dropsBucket = []byte("drops") // Unix second, rounded up, and seq -> nothing: what to let go of when

	formatKey  = []byte("format")
	horizonKey = []byte("horizon")
)

// dropsPerAppend bounds what one Append tidies up, and so what it costs.
const dropsPerAppend = 1000

// errHeld ends a transaction that has nothing to write: the ID is there already.
var errHeld = errors.New("held")

// entry is a fact as it is written. The seq is the key.
type entry struct {
	ID        string     `json:"id"`
	Kind      state.Kind `json:"kind"`
	Subject   string     `json:"subject"`
	At        time.Time  `json:"at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	DropAt    time.Time  `json:"drop_at,omitzero"`
	Payload   []byte     `json:"payload,omitempty"`
}

func put(tx *bolt.Tx, f state.Fact, now time.Time) (uint64, error) {
	if err := drop(tx, now); err != nil {
		return 0, err
	}
	if held := tx.Bucket(idsBucket).Get([]byte(f.ID)); held != nil {
		old, dropAt, err := load(tx, held)
		if err != nil {
			return 0, err
		}
		// What is due and not yet dropped is not held any more.
		if dropAt.IsZero() || now.Before(dropAt) {
			return old.Seq, errHeld
		}
		if err := remove(tx, &old, dropAt); err != nil {
			return 0, err
		}
	}
	facts := tx.Bucket(factsBucket)
	seq, err := facts.NextSequence()
	if err != nil {
		return 0, err
	}
	f = state.Stored(f, now)
	e := entry{ID: f.ID, Kind: f.Kind, Subject: f.Subject, At: f.At, DropAt: f.DropAt(now), Payload: f.Payload}
	if !f.ExpiresAt.IsZero() {
		e.ExpiresAt = &f.ExpiresAt
	}
	data, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	key := number(seq)
	if err := errors.Join(facts.Put(key, data), tx.Bucket(idsBucket).Put([]byte(f.ID), key)); err != nil {
		return 0, err
	}
	if !e.DropAt.IsZero() {
		if err := tx.Bucket(dropsBucket).Put(dropKey(e.DropAt, seq), nil); err != nil {
			return 0, err
		}
	}
	if f.Kind == state.Lift {
		return seq, lift(tx, f.Subject)
	}
	return seq, nil
}

func lift(tx *bolt.Tx, id string) error {
	held := tx.Bucket(idsBucket).Get([]byte(id))
	if held == nil {
		return nil
	}
	f, dropAt, err := load(tx, held)
	if err != nil || f.Kind == state.Lift {
		return err
	}
	return remove(tx, &f, dropAt)
}

// drop lets go of what is due at now.
func drop(tx *bolt.Tx, now time.Time) error {
	var due [][]byte
	c := tx.Bucket(dropsBucket).Cursor()
	for k, _ := c.First(); k != nil && len(due) < dropsPerAppend; k, _ = c.Next() {
		if len(k) != 16 || int64(binary.BigEndian.Uint64(k)) > now.Unix() {
			break
		}
		due = append(due, append([]byte(nil), k[8:]...)) // the tree moves under the cursor when keys are deleted
	}
	for _, seq := range due {
		f, dropAt, err := load(tx, seq)
		if err != nil {
			return err
		}
		if err := remove(tx, &f, dropAt); err != nil {
			return err
		}
	}
	return nil
}

func remove(tx *bolt.Tx, f *state.Fact, dropAt time.Time) error {
	err := errors.Join(tx.Bucket(factsBucket).Delete(number(f.Seq)), tx.Bucket(idsBucket).Delete([]byte(f.ID)))
	if !dropAt.IsZero() {
		err = errors.Join(err, tx.Bucket(dropsBucket).Delete(dropKey(dropAt, f.Seq)))
	}
	if f.LeavesGap() && f.Seq > horizon(tx) {
		err = errors.Join(err, tx.Bucket(metaBucket).Put(horizonKey, number(f.Seq)))
	}
	return err
}

func since(tx *bolt.Tx, seq uint64, now time.Time) ([]state.Fact, uint64, error) {
	facts := tx.Bucket(factsBucket)
	last := facts.Sequence()
	if err := state.CheckSince(seq, horizon(tx), last); err != nil {
		return nil, 0, err
	}
	var out []state.Fact
	c := facts.Cursor()
	for k, v := c.Seek(number(seq + 1)); k != nil; k, v = c.Next() {
		f, _, err := decode(k, v)
		if err != nil {
			return nil, 0, err
		}
		if !f.Hidden(seq, now) {
			out = append(out, f)
		}
	}
	return out, last, nil
}

func load(tx *bolt.Tx, seq []byte) (state.Fact, time.Time, error) {
	return decode(seq, tx.Bucket(factsBucket).Get(seq))
}

func decode(seq, data []byte) (state.Fact, time.Time, error) {
	var e entry
	if len(seq) != 8 || json.Unmarshal(data, &e) != nil {
		return state.Fact{}, time.Time{}, fmt.Errorf("%w: fact %x cannot be read", ErrCorrupt, seq)
	}
	f := state.Fact{
		Seq: binary.BigEndian.Uint64(seq), ID: e.ID, Kind: e.Kind, Subject: e.Subject, At: e.At, Payload: e.Payload,
	}
	if e.ExpiresAt != nil {
		f.ExpiresAt = *e.ExpiresAt
	}
	return f, e.DropAt, nil
}

func horizon(tx *bolt.Tx) uint64 {
	if v := tx.Bucket(metaBucket).Get(horizonKey); len(v) == 8 {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// dropKey counts in whole seconds, rounded up: nanoseconds overflow in 2262, and an entry dropped early is forgotten.
func dropKey(at time.Time, seq uint64) []byte {
	sec := at.Unix()
	if at.Nanosecond() > 0 {
		sec++
	}
	return binary.BigEndian.AppendUint64(number(uint64(max(0, sec))), seq)
}
