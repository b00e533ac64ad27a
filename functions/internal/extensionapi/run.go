package extensionapi

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The types of errors that Lambda is told of.
const (
	kindConfiguration = "Keyhole.Configuration"
	kindExit          = "Keyhole.Exit"
)

// patience bounds the calls that do not wait for anything.
const patience = 5 * time.Second

// Program is what an extension does.
type Program interface {
	// Serve answers until ctx is done, then lets what is under way finish.
	Serve(ctx context.Context) error
	// Invoked tells that the function works for somebody, whom it fails at this time.
	Invoked(until time.Time)
	// Close ends what Serve used.
	Close() error
}

// Run is the life of an extension. It opens the program, which listens from then on, registers it, and serves until Lambda
// or ctx says that it is over. What keeps the program from opening becomes an init error; when it ends on its own, Lambda
// is told why.
func (c *Client) Run(ctx context.Context, open func(context.Context) (Program, error)) error {
	p, err := open(ctx)
	if err != nil {
		// The error can be told only by who is registered.
		told, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if _, failed := c.Register(told); failed != nil {
			return errors.Join(err, failed)
		}
		return errors.Join(err, c.InitError(told, kindConfiguration, err))
	}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() {
		served <- p.Serve(serving)
		stop()
	}()
	heard := c.events(ctx, serving, p.Invoked)
	early := heard != nil && ctx.Err() == nil
	if serving.Err() != nil {
		heard = nil // it heard no more because of who stopped
	}
	stop()
	err = errors.Join(heard, <-served, p.Close())
	if !early {
		return err
	}
	if err == nil {
		err = errors.New("it serves no more")
	}
	told, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return errors.Join(err, c.ExitError(told, kindExit, err))
}

// events registers and hears of events until the one that is the last. It returns nil for that one alone. A program that
// ends early ends it after the registration, without which nobody could be told why.
func (c *Client) events(ctx, serving context.Context, invoked func(time.Time)) error {
	registering, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := c.Register(registering, Invoke, Shutdown); err != nil {
		return err
	}
	for {
		switch e, err := c.Next(serving); {
		case err != nil:
			return err
		case e.Type == Shutdown:
			return nil
		case e.Type == Invoke:
			invoked(time.UnixMilli(e.DeadlineMS))
		default:
			return fmt.Errorf("%w: an event of type %.40q", ErrRefused, e.Type)
		}
	}
}
