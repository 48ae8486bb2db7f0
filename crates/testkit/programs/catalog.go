// See README.md. The work is done by a goroutine: its stack is not the thread's.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"time"
)

const (
	block         = 4096
	mib           = 1 << 20
	roundsASecond = 100
)

type work struct {
	bytes         int
	keeps, pauses bool
}

var kept [][]byte

func (w *work) pauseAfter(done int) {
	if w.pauses && done%(mib/4) == 0 {
		time.Sleep(2 * time.Millisecond)
	}
}

func (w *work) settle(blocks [][]byte) {
	if w.keeps {
		kept = append(kept, blocks...)
	}
}

//go:noinline
func parseJSON(w *work) {
	var blocks [][]byte
	for done := 0; done < w.bytes; done += block {
		text := make([]byte, block)
		for i := range text {
			text[i] = '{'
		}
		blocks = append(blocks, text)
		w.pauseAfter(done)
	}
	w.settle(blocks)
}

//go:noinline
func buildIndex(w *work) {
	var blocks [][]byte
	for done := 0; done < w.bytes; done += block {
		text := make([]byte, block)
		for i := range text {
			text[i] = '#'
		}
		blocks = append(blocks, text)
		w.pauseAfter(done)
	}
	w.settle(blocks)
}

//go:noinline
func fillCache(w *work) {
	var blocks [][]byte
	for done := 0; done < w.bytes; done += block {
		text := make([]byte, block)
		for i := range text {
			text[i] = '='
		}
		blocks = append(blocks, text)
		w.pauseAfter(done)
	}
	w.settle(blocks)
}

var functions = []struct {
	name string
	run  func(*work)
}{{"parseJSON", parseJSON}, {"buildIndex", buildIndex}, {"fillCache", fillCache}}

//go:noinline
func loadCatalog(name string, bytes int, leaks bool) bool {
	found := false
	for _, function := range functions {
		chosen := function.name == name
		w := work{bytes: 2 * bytes, keeps: chosen, pauses: !leaks}
		if chosen {
			w.bytes = bytes
		}
		if chosen || leaks {
			function.run(&w)
		}
		found = found || chosen
	}
	return found
}

//go:noinline
func serve(mode, name string, amount, seconds int) int {
	if mode == "grow" {
		if loadCatalog(name, amount*mib, false) {
			return 3
		}
		return 2
	}
	for round := 0; round < seconds*roundsASecond; round++ {
		if !loadCatalog(name, amount*mib/roundsASecond, true) {
			return 2
		}
		time.Sleep(time.Second / roundsASecond)
	}
	return 0
}

func number(at int) int {
	if at >= len(os.Args) {
		return 0
	}
	value, err := strconv.Atoi(os.Args[at])
	if err != nil {
		os.Exit(2)
	}
	return value
}

func main() {
	if len(os.Args) < 4 {
		os.Exit(2)
	}
	fmt.Println("ready")
	if line, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil || line != "go\n" {
		os.Exit(2)
	}
	done := make(chan int)
	go func() { done <- serve(os.Args[1], os.Args[2], number(3), number(4)) }()
	os.Exit(<-done)
}
