// Calls itself and others, hands out its registers and the top of its stack on standard output, and waits to be killed.
package main

import (
	"os"
	"time"
)

var registers [3]uint64

func dump()

type catalog[T any] struct{ items []T }

//go:noinline
func capture() {
	dump()
	time.Sleep(time.Hour)
}

//go:noinline
func (c *catalog[T]) grow(item T) int {
	c.items = append(c.items, item)
	capture()
	return len(c.items)
}

//go:noinline
func load(c *catalog[string], depth int) int {
	if depth > 0 {
		return load(c, depth-1) + 1
	}
	return c.grow("x")
}

func main() { os.Exit(load(&catalog[string]{}, 3)) }
