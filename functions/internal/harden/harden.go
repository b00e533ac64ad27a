// Package harden keeps secrets out of core dumps and away from debuggers of the same user.
package harden
